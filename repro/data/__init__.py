"""Data: images as whole tensors, folders of pictures, text, and how a batch of them is made.

Read `images` and `augment` (CIFAR-10, digits), then `folders` and `loader` (ImageNet, pictures of one's own), `sources`
(either kind) and `text`. `datasets` fetches and checks all by name; `archives`, `draws` and `seeds` serve the others.
Nothing here knows of training, processes or experiments: who trains says which part of a batch is wanted, and the seed.
"""
