"""Small wrong edits of the package, each with the tests that should see it.

They are wrong in what recipes, trainings and searches compose: constants, swapped arguments, dropped terms, schedules
that are never stepped. `sees` names tests: experiments whose numbers golden.json holds, or files of tests.
"""

from typing import NamedTuple


class Edit(NamedTuple):
    """One wrong edit: `old`, which stands once in `file` of the package, becomes `new`."""

    wrong: str  # what is wrong
    file: str
    old: str
    new: str
    sees: str


SEARCH, JOINT, EVAL, SELECT = "cifar10-search", "cifar10-joint", "cifar10-eval", "cifar10-select"
PICTURES, PTB, MODEL = "imagenet-eval", "ptb-search", "ptb-eval"
SUPERNET, BLOCKS, RETRAIN, RANKS = "spos-supernet", "spos-blocks", "spos-retrain", "spos-correlation"

EDITS = (
    # the searches on CIFAR-10
    Edit("alpha's first beta", "experiments/cifar10_search.py", "(0.5, 0.999)", "(0.9, 0.999)", SEARCH),
    Edit("alpha's second beta", "experiments/cifar10_search.py", "(0.5, 0.999)", "(0.5, 0.99)", SEARCH),
    Edit(
        "alpha is not decayed",
        "experiments/cifar10_search.py",
        ', "weight_decay": params.alpha_weight_decay}',
        "}",
        SEARCH,
    ),
    Edit(
        "alpha at w's rate",
        "experiments/cifar10_search.py",
        '"lr": params.alpha_lr, "betas"',
        '"lr": params.lr, "betas"',
        SEARCH,
    ),
    Edit(
        "the halves are swapped",
        "experiments/cifar10_search.py",
        "return run_search(params, run, searcher, train, valid, augmentation(params, images))",
        "return run_search(params, run, searcher, valid, train, augmentation(params, images))",
        SEARCH,
    ),
    Edit(
        "w's rate never falls",
        "experiments/cifar10_search.py",
        "        schedule.step()\n",
        "        pass\n",
        SEARCH,
    ),
    Edit(
        "w's rate falls to 0",
        "experiments/cifar10_search.py",
        "params.epochs, params.lr_min)",
        "params.epochs)",
        SEARCH,
    ),
    Edit(
        "w without momentum",
        "experiments/cifar10_search.py",
        "SGD(parameters, params.lr, params.momentum, weight",
        "SGD(parameters, params.lr, 0 * params.momentum, weight",
        SEARCH,
    ),
    Edit(
        "w is not decayed",
        "experiments/cifar10_search.py",
        "params.momentum, weight_decay=params.weight_decay)",
        "params.momentum)",
        SEARCH,
    ),
    Edit(
        "xi and eps are swapped",
        "experiments/cifar10_search.py",
        "xi_scale,\n        params.eps",
        "eps,\n        params.xi_scale",
        SEARCH,
    ),
    Edit("the order is always 1", "experiments/cifar10_search.py", "        params.order,\n", "        1,\n", SEARCH),
    Edit(
        "alpha starts at 0", "experiments/cifar10_search.py", "alpha_scale=params.alpha_init", "alpha_scale=0.0", SEARCH
    ),
    Edit(
        "validation images are augmented",
        "experiments/cifar10_search.py",
        "setup.laid_out(augment.normalise)",
        "setup.laid_out(augment)",
        SEARCH,
    ),
    Edit(
        "w is not clipped",
        "darts/cnn/search.py",
        "clip_gradients(self.clipped, self.grad_clip)",
        "clip_gradients(self.clipped, 1e9)",
        SEARCH,
    ),
    Edit("xi is not scaled", "darts/cnn/search.py", 'self.xi_scale * group["lr"]', "self.xi_scale", SEARCH),
    Edit("the virtual step has no decay", "darts/cnn/search.py", '"weight_decay": group["weight_decay"], ', "", SEARCH),
    Edit(
        "the virtual step has no momentum",
        "darts/cnn/search.py",
        '{"momentum": group["momentum"], ',
        '{"momentum": 0.0, ',
        SEARCH,
    ),
    Edit(
        "w moves before alpha",
        "darts/cnn/search.py",
        "        self.alpha_step(train, valid)\n        return self.weight_step(train)",
        "        moved = self.weight_step(train)\n        self.alpha_step(train, valid)\n        return moved",
        SEARCH,
    ),
    Edit(
        "alpha on the training batch",
        "darts/cnn/search.py",
        '"valid_loss": self.loss(valid, penalised=True)',
        '"valid_loss": self.loss(train, penalised=True)',
        SEARCH,
    ),
    Edit(
        "the same validation batch again",
        "darts/cnn/search.py",
        "valid_images, valid_labels = valid.next()",
        "valid_images, valid_labels = valid.x[: valid.size], valid.y[: valid.size]",
        SEARCH,
    ),
    Edit(
        "validation on the training loss",
        "darts/cnn/search.py",
        'return average.row("valid")',
        'return average.row("train")',
        SEARCH,
    ),
    Edit("the implicit term is added", "darts/bilevel.py", "tuple(d - i for", "tuple(d + i for", SEARCH),
    Edit(
        "the implicit term without xi",
        "darts/bilevel.py",
        'sgd["xi"] * coefficient * term',
        "coefficient * term",
        SEARCH,
    ),
    Edit("a forward difference", "darts/bilevel.py", "shift, alpha=2)", "shift, alpha=1)", SEARCH),
    Edit("half the difference's step", "darts/bilevel.py", "(p - m) / (2 * step)", "(p - m) / step", SEARCH),
    Edit(
        "a step that ignores the norm",
        "darts/bilevel.py",
        "step = eps / _norm(vector)",
        "step = eps * _norm(vector)",
        SEARCH,
    ),
    Edit(
        "coordinate descent by one optimizer",
        "experiments/cifar10_search.py",
        'if params.strategy == "coordinate":',
        'if params.strategy != "coordinate":',
        JOINT,
    ),
    Edit(
        "alpha is left out of one step",
        "experiments/cifar10_search.py",
        "[*network.weights(), *network.alphas]",
        "[*network.weights()]",
        JOINT,
    ),
    Edit(
        "alpha and w in one order of batches",
        "experiments/cifar10_search.py",
        '("order", "alpha-order")',
        '("order", "order")',
        JOINT,
    ),
    # cells trained from scratch
    Edit(
        "drop path is never scheduled",
        "experiments/cifar10_cells.py",
        "params.drop_path_rate * epoch.index / params.epochs",
        "params.drop_path_rate",
        EVAL,
    ),
    Edit(
        "drop path is never set",
        "experiments/cifar10_cells.py",
        "        network.set_drop_path_rate(params.drop_path_rate * epoch.index / params.epochs)\n",
        "",
        EVAL,
    ),
    Edit("the rate never falls", "experiments/cifar10_cells.py", "        schedule.step()\n", "        pass\n", EVAL),
    Edit(
        "no auxiliary head",
        "experiments/cifar10_cells.py",
        "auxiliary_head=params.auxiliary_weight > 0",
        "auxiliary_head=False",
        EVAL,
    ),
    Edit(
        "clip and auxiliary weight are swapped",
        "experiments/cifar10_cells.py",
        "params.grad_clip, params.auxiliary_weight",
        "params.auxiliary_weight, params.grad_clip",
        EVAL,
    ),
    Edit("no decay", "experiments/cifar10_cells.py", ", weight_decay=params.weight_decay)", ")", EVAL),
    Edit(
        "no cutout",
        "experiments/cifar10_cells.py",
        "last=held_out)\n    augment = augmentation(params, images, params.cutout)",
        "last=held_out)\n    augment = augmentation(params, images)",
        EVAL,
    ),
    Edit(
        "the test error of training images",
        "experiments/cifar10_cells.py",
        "images.x_test, images.y_test",
        "images.x_train, images.y_train",
        EVAL,
    ),
    Edit(
        "test images are augmented",
        "experiments/cifar10_cells.py",
        "*part, augment.normalise",
        "*part, augment",
        EVAL,
    ),
    Edit(
        "the auxiliary loss is dropped",
        "training/classifier.py",
        "loss + self.auxiliary_weight * cross_entropy(side, labels, label_smoothing=self.label_smoothing)",
        "loss",
        EVAL,
    ),
    Edit(
        "the auxiliary loss has weight 1", "training/classifier.py", "loss + self.auxiliary_weight * ", "loss + ", EVAL
    ),
    Edit(
        "nothing is clipped",
        "training/classifier.py",
        "        clip_gradients(self.network.parameters(), self.grad_clip)\n",
        "",
        EVAL,
    ),
    Edit("tested in training mode", "training/classifier.py", "    network.eval()\n", "    network.train()\n", EVAL),
    Edit("gradients add up", "training/classifier.py", "        self.optimizer.zero_grad()\n", "", EVAL),
    # selection
    Edit(
        "scored on the half that trained",
        "experiments/cifar10_cells.py",
        "evaluate(network, valid.x, valid.y,",
        "evaluate(network, train.x, train.y,",
        SELECT,
    ),
    Edit(
        "trained on the half that scores",
        "experiments/cifar10_cells.py",
        "train_cell(params, part, network, train, augment)",
        "train_cell(params, part, network, valid, augment)",
        SELECT,
    ),
    Edit(
        "cells from other starts",
        "experiments/cifar10_cells.py",
        "        devices.seed_everything(params.seed)\n",
        "",
        SELECT,
    ),
    Edit(
        "the worst cell is taken",
        "experiments/selection.py",
        "    best = cells[values.index(min(values))]\n",
        "    best = cells[values.index(max(values))]\n",
        SELECT,
    ),
    Edit(
        "the worst search is named",
        "experiments/selection.py",
        "seed = seeds[values.index(min(values))]",
        "seed = seeds[values.index(max(values))]",
        SELECT,
    ),
    Edit(
        "one search for all seeds",
        "experiments/selection.py",
        "cells = [find_needed(search.changed(seed=seed)",
        "cells = [find_needed(search.changed(seed=0)",
        SELECT,
    ),
    Edit(
        "none is drawn",
        "darts/discretise.py",
        "dice.choice(space.operations[1:])",
        "dice.choice(space.operations)",
        "cifar10-random",
    ),
    Edit(
        "snapshots an epoch late",
        "experiments/selection.py",
        'if row["epoch"] + 1 in snapshots',
        'if row["epoch"] in snapshots',
        "cifar10-progress",
    ),
    # ImageNet
    Edit("the rate never falls", "experiments/imagenet.py", "params.lr_decay", "1.0", PICTURES),
    Edit(
        "no label smoothing",
        "experiments/imagenet.py",
        "params.auxiliary_weight, params.label_smoothing)",
        "params.auxiliary_weight, 0.0)",
        PICTURES,
    ),
    Edit(
        "drop path is never scheduled",
        "experiments/imagenet.py",
        "params.drop_path_rate * epoch.index / params.epochs",
        "params.drop_path_rate",
        PICTURES,
    ),
    # recurrent cells
    Edit("alpha is not decayed", "experiments/language.py", ", weight_decay=params.alpha_weight_decay", "", PTB),
    Edit(
        "w is not decayed", "experiments/language.py", "params.lr, weight_decay=params.weight_decay", "params.lr", PTB
    ),
    Edit(
        "clip and TAR are swapped",
        "experiments/language.py",
        "params.grad_clip, params.tar),\n",
        "params.tar, params.grad_clip),\n",
        PTB,
    ),
    Edit(
        "train and valid are swapped",
        "darts/rnn/search.py",
        "batch, other = window(train,",
        "other, batch = window(train,",
        PTB,
    ),
    Edit("the rate does not follow the window", "darts/rnn/search.py", "search.lr * length / bptt", "search.lr", PTB),
    Edit(
        "alpha's clip is dropped", "darts/rnn/search.py", '            "grad_clip": self.descent.grad_clip,\n', "", PTB
    ),
    Edit(
        "the embedding moves",
        "darts/rnn/search.py",
        "weights if self.moves_embedding else",
        "weights if not self.moves_embedding else",
        PTB,
    ),
    Edit("no TAR", "darts/rnn/training.py", "if self.tar and len(output.states) > 1:", "if False:", MODEL),
    Edit(
        "the rate does not follow the window",
        "darts/rnn/training.py",
        "training.lr * length / bptt",
        "training.lr",
        MODEL,
    ),
    Edit("averaging never begins", "darts/rnn/training.py", "if before and loss > min(before):", "if False:", MODEL),
    Edit("averaging begins at once", "darts/rnn/training.py", "if before and loss > min(before):", "if True:", MODEL),
    Edit(
        "the last weights are tested",
        "darts/rnn/training.py",
        'torch._foreach_copy_(self.weights, self.best["weights"])',
        "pass",
        MODEL,
    ),
    Edit(
        "the hidden state is forgotten",
        "darts/rnn/training.py",
        "        state.hidden = output.hidden\n",
        "        pass\n",
        MODEL,
    ),
    # single paths
    Edit("the rate never falls", "spos/path_training.py", "max(0.0, 1 - step / steps)", "1.0", SUPERNET),
    Edit(
        "the rate falls twice as fast",
        "spos/path_training.py",
        "max(0.0, 1 - step / steps)",
        "max(0.0, 1 - 2 * step / steps)",
        SUPERNET,
    ),
    Edit(
        "biases are decayed", "spos/path_training.py", '"weight_decay": 0.0}', '"weight_decay": weight_decay}', SUPERNET
    ),
    Edit(
        "no momentum",
        "spos/path_training.py",
        '_foreach_mul_(buffers, group["momentum"])',
        "_foreach_mul_(buffers, 0.0)",
        SUPERNET,
    ),
    Edit(
        "no label smoothing",
        "spos/path_training.py",
        "label_smoothing=self.label_smoothing)",
        "label_smoothing=0.0)",
        SUPERNET,
    ),
    Edit(
        "held-out images train",
        "experiments/spos_training.py",
        "data.stream(train))",
        "data.stream(torch.arange(len(data.labels))))",
        SUPERNET,
    ),
    Edit("always uniform", "experiments/spos_training.py", 'if params.sampling == "uniform":', "if True:", SUPERNET),
    Edit(
        "BatchNorm is not recalibrated",
        "spos/path_training.py",
        "            recalibrate(self.network, gene, self.calibration, self.prepare, self.batch)\n",
        "",
        BLOCKS,
    ),
    Edit(
        "random search is evolution", "experiments/spos_search.py", "replace(settings, parents=0)", "settings", BLOCKS
    ),
    Edit(
        "evolution is random search",
        "experiments/spos_search.py",
        '{"evolution": settings,',
        '{"evolution": replace(settings, parents=0),',
        BLOCKS,
    ),
    Edit("the worst are parents", "spos/evolution.py", "reverse=True)[:count]", "reverse=False)[:count]", BLOCKS),
    Edit("no mutants", "spos/evolution.py", "range(settings.mutation if parents else 0)", "range(0)", BLOCKS),
    Edit("no crossings", "spos/evolution.py", "range(settings.crossover if parents else 0)", "range(0)", BLOCKS),
    Edit(
        "budgets are ignored",
        "spos/evolution.py",
        "return not any(budget.excess(gene) for budget in budgets)",
        "return True",
        BLOCKS,
    ),
    Edit(
        "the other arm's network is trained",
        "experiments/spos_networks.py",
        "found[params.winner]",
        'found["random"]',
        RETRAIN,
    ),
    Edit(
        "no last pass for BatchNorm",
        "experiments/spos_training.py",
        "steps = params.iterations + last_steps",
        "steps = params.iterations",
        RETRAIN,
    ),
    Edit(
        "the same value for both rankings",
        "experiments/spos_correlation.py",
        '"kendall_tau": kendall_tau(inherited, stand_alone)',
        '"kendall_tau": kendall_tau(stand_alone, stand_alone)',
        RANKS,
    ),
)
