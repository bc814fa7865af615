"""Data: images as whole tensors, folders of pictures, text, and how a batch of them is made.

Read `images`, `batches` and `augment` (CIFAR-10, digits), then `folders` and `loader` (ImageNet, one's own pictures),
`sources` (either kind), `text`. `datasets` fetches and checks all by name; `cifar10`, `archives`, `draws` and `seeds`
serve these.
Nothing here knows of training, processes or experiments: who trains says which part of a batch is wanted, and the seed.

Public: `images.load_images`, `batches.Batches`, `augment.Augment`.
"""
