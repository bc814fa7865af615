"""Data: images as whole tensors, folders of pictures, text, and how a batch of them is made.

Read `images` and `augment` (CIFAR-10, digits), then `folders` and `loader` (ImageNet, pictures of one's own), then
`text`. `datasets` fetches and checks all of them by name; `archives` and `draws` are what the others share. Nothing
here knows of training, processes or experiments: who trains says which part of a batch is wanted, and from which seed.
"""
