"""The registry: every experiment by name, with what it reproduces, what it needs and what it costs.

Nothing here imports torch: a recipe is named, and imported when it runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from repro import hyperparameters as hyper
from repro import hyperparameters_language as language
from repro import hyperparameters_spos as spos
from repro.errors import unknown
from repro.parameters import Parameters
from repro.references import Reference, reference
from repro.results.published import quoted


@dataclass(frozen=True)
class Experiment:
    """One experiment of a paper: a notebook that narrates it and a recipe that computes it."""

    name: str
    title: str
    section: str  # where in the paper
    claim: str  # what the paper found; a number in braces is one of `results.published`
    cost: str  # what the paper paid
    parameters: type[Parameters]
    notebook: str
    recipe: str  # "module:function" in repro.recipes, taking (params, run) and returning the result
    # what a reference in a parameter means where it does not say so: {"supernet": {"space": "blocks"}}
    fills: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def references(self, params: Parameters) -> dict[str, Reference]:
        """Return the runs that the parameters name, by the parameter's name, with what they mean unsaid."""
        return {
            name: reference(value.experiment, **{**self.fills.get(name, {}), **dict(value.changes)})
            for name, value in vars(params).items()
            if isinstance(value, Reference)
        }

    def needs(self, params: Parameters) -> list[Reference]:
        """Return the runs that must be finished first: those named, a search once for each of its `search_seeds`."""
        named, seeds = self.references(params).values(), getattr(params, "search_seeds", None)
        return [each.changed(seed=seed) for each in named for seed in seeds] if seeds else [*named]

    def compute(self, params: Parameters, run: Any) -> dict[str, Any]:
        """Run the recipe and return its headline numbers."""
        module, function = self.recipe.split(":")
        return getattr(import_module(f"repro.recipes.{module}"), function)(params, run)


def typed(reference: Reference) -> tuple[Experiment, dict[str, Any]]:
    """Return the experiment of a reference and its changes with their types; UsageError names what is wrong in them."""
    experiment = find(reference.experiment)
    return experiment, experiment.parameters.parse(dict(reference.changes))


def find(name: str) -> Experiment:
    """Return the experiment of that name; UsageError suggests the nearest right one."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def _register(*experiments: Experiment) -> Mapping[str, Experiment]:
    return {each.name: replace(each, claim=quoted(each.claim)) for each in experiments}


EXPERIMENTS = _register(
    Experiment(
        name="bilevel-toy",
        title="Figure 2: the bilevel problem in two numbers",
        section="DARTS Sect. 2.3, Figure 2",
        claim="with a suitable xi, alpha and w converge to a better local optimum than with xi = 0",
        cost="seconds",
        parameters=hyper.BilevelToy,
        notebook="00_bilevel_toy.ipynb",
        recipe="toy:descend",
    ),
    Experiment(
        name="cifar10-search",
        title="Search for convolutional cells on CIFAR-10",
        section="DARTS Sect. 2, 3.1.1, A.1.1",
        claim="four searches and their selection took 1.5 (first order) and 4 (second order) GPU days",
        cost="0.4 (first order) or 1 (second order) GPU day on a GTX 1080Ti",
        parameters=hyper.CifarSearch,
        notebook="01_cifar10_search.ipynb",
        recipe="cifar10_search:search",
    ),
    Experiment(
        name="cifar10-joint",
        title="The alternatives: alpha and w trained on the same images",
        section="DARTS Sect. 3.3",
        claim="cells with 4.16 +- 0.16 % (coordinate descent) and 3.56 +- 0.10 % (one step for both) test error",
        cost="about that of a first-order search",
        parameters=hyper.CifarJoint,
        notebook="05_cifar10_joint.ipynb",
        recipe="cifar10_search:search_jointly",
    ),
    Experiment(
        name="cifar10-select",
        title="The best of four searches on CIFAR-10",
        section="DARTS Sect. 3.2",
        claim="one of four cells, chosen by validation error after 100 epochs",
        cost="1 GPU day",
        parameters=hyper.CifarSelect,
        notebook="02_cifar10_select.ipynb",
        recipe="cifar10_selection:select",
    ),
    Experiment(
        name="cifar10-random",
        title="The best of random cells on CIFAR-10",
        section="DARTS Sect. 3.2, Table 1",
        claim="test error 3.29 +- 0.15 %: the best of 24 random cells, chosen as the searched cells are",
        cost="4 GPU days",
        parameters=hyper.CifarRandom,
        notebook="04_cifar10_random.ipynb",
        recipe="cifar10_selection:draw_randomly",
    ),
    Experiment(
        name="cifar10-progress",
        title="Figure 3, left: how the cells get better as the search goes on",
        section="DARTS Sect. 3.2, Figure 3",
        claim="the cells improve over the search and level off near NASNet-A's and AmoebaNet-A's error",
        cost="a short training for every snapshot of four searches",
        parameters=hyper.CifarProgress,
        notebook="06_cifar10_progress.ipynb",
        recipe="cifar10_selection:follow_progress",
    ),
    Experiment(
        name="cifar10-eval",
        title="The found cell trained from scratch on CIFAR-10",
        section="DARTS Sect. 3.2, A.2.1, Table 1",
        claim="test error 3.00 +- 0.14 % (first order), 2.76 +- 0.09 % (second order), 3.3M parameters, 10 runs",
        cost="1.5 GPU days a run on a GTX 1080Ti",
        parameters=hyper.CifarEval,
        notebook="03_cifar10_eval.ipynb",
        recipe="cifar10_eval:evaluate_cell",
    ),
    Experiment(
        name="imagenet-eval",
        title="The found cell trained from scratch on ImageNet",
        section="DARTS A.2.3, Table 3",
        claim="top-1 error 26.7 %, top-5 error 8.7 %, 4.7M parameters, 574M multiply-adds",
        cost="12 GPU days",
        parameters=hyper.ImageNetEval,
        notebook="07_imagenet_eval.ipynb",
        recipe="imagenet:evaluate_cell",
    ),
    Experiment(
        name="cifar10-cost",
        title="Table 1, search cost: what the second order costs",
        section="DARTS Sect. 3.2, Table 1",
        claim="searching took 1.5 (first order) and 4 (second order) GPU days, 2.67 times as much",
        cost="minutes",
        parameters=hyper.CifarCost,
        notebook="08_cifar10_cost.ipynb",
        recipe="step_cost:compare_orders",
    ),
    Experiment(
        name="ptb-search",
        title="Search for recurrent cells on Penn Treebank",
        section="DARTS Sect. 3.1.2, A.1.2",
        claim="four searches and their selection took 0.5 (first order) and 1 (second order) GPU days",
        cost="6 hours on a GTX 1080Ti",
        parameters=language.PtbSearch,
        notebook="10_ptb_search.ipynb",
        recipe="ptb_search:search",
    ),
    Experiment(
        name="ptb-select",
        title="The best of four searches on Penn Treebank",
        section="DARTS Sect. 3.2",
        claim="one of four cells, chosen by validation perplexity after 300 epochs",
        cost="1 GPU day",
        parameters=language.PtbSelect,
        notebook="11_ptb_select.ipynb",
        recipe="ptb_selection:select",
    ),
    Experiment(
        name="ptb-eval",
        title="The found cell trained from scratch on Penn Treebank",
        section="DARTS Sect. 3.2, A.2.2, Table 2",
        claim="test perplexity 57.6 (first order), 55.7 (second order), 23M parameters",
        cost="3 GPU days on a GTX 1080Ti",
        parameters=language.PtbEval,
        notebook="12_ptb_eval.ipynb",
        recipe="ptb_eval:evaluate_cell",
    ),
    Experiment(
        name="ptb-random",
        title="The best of random cells on Penn Treebank",
        section="DARTS Sect. 3.2, Table 2",
        claim="test perplexity 59.4: the best of 8 random cells, chosen as the searched cells are",
        cost="2 GPU days",
        parameters=language.PtbRandom,
        notebook="13_ptb_random.ipynb",
        recipe="ptb_selection:draw_randomly",
    ),
    Experiment(
        name="ptb-progress",
        title="Figure 3, right: how the recurrent cells get better as the search goes on",
        section="DARTS Sect. 3.2, Figure 3",
        claim="the cells improve over the search and come close to the ENAS cell's perplexity",
        cost="a short training for every snapshot of four searches",
        parameters=language.PtbProgress,
        notebook="14_ptb_progress.ipynb",
        recipe="ptb_selection:follow_progress",
    ),
    Experiment(
        name="wikitext2-eval",
        title="The cell found on Penn Treebank, trained on WikiText-2",
        section="DARTS A.2.4, Table 4",
        claim="test perplexity 69.6, 33M parameters",
        cost="not stated",
        parameters=language.WikiText2Eval,
        notebook="15_wikitext2_eval.ipynb",
        recipe="ptb_eval:evaluate_cell",
    ),
    Experiment(
        name="spos-supernet",
        title="A supernet trained by uniform single-path sampling",
        section="SPOS Sect. 3",
        claim="one training serves every later search: 150,000 steps on ImageNet",
        cost="12 GPU days",
        parameters=spos.SposSupernet,
        notebook="30_spos_supernet.ipynb",
        recipe="spos_supernet:train_supernet",
    ),
    Experiment(
        name="spos-blocks",
        title="Evolution over building blocks",
        section="SPOS Sect. 3, Algorithm 1; Sect. 4, building block search",
        claim="{spos_blocks.found-blocks.top1_percent} % top-1 accuracy on ImageNet with "
        "{spos_blocks.found-blocks.flops_M}M multiply-adds, above random search on the same supernet",
        cost="less than 1 GPU day",
        parameters=spos.SposBlocks,
        notebook="31_spos_blocks.ipynb",
        recipe="spos_search:search_paths",
        fills={"supernet": {"space": "blocks"}},
    ),
    Experiment(
        name="spos-channels",
        title="Evolution over blocks and channels",
        section="SPOS Sect. 3 and 4, channel search",
        claim="{spos_channels.found-channels.top1_percent} % top-1 accuracy on ImageNet with "
        "{spos_channels.found-channels.flops_M}M multiply-adds",
        cost="not stated",
        parameters=spos.SposChannels,
        notebook="32_spos_channels.ipynb",
        recipe="spos_search:search_paths",
        fills={"supernet": {"space": "channels"}},
    ),
    Experiment(
        name="spos-bits",
        title="Evolution over bit widths and channels",
        section="SPOS Sect. 3 and 4, mixed-precision quantisation search",
        claim="ResNet-18: {spos_bits.resnet18-within-2W2A.top1_percent}, "
        "{spos_bits.resnet18-within-3W3A.top1_percent} and {spos_bits.resnet18-within-4W4A.top1_percent} % "
        "with fewer BitOps than 2, 3 and 4 bits everywhere",
        cost="not stated",
        parameters=spos.SposBits,
        notebook="33_spos_bits.ipynb",
        recipe="spos_search:search_paths",
        fills={"supernet": {"space": "bits"}},
    ),
    Experiment(
        name="spos-retrain",
        title="The found network trained from scratch, beside random and uniform choices",
        section="SPOS Sect. 4",
        claim="{spos_blocks.found-blocks.top1_percent} % top-1 accuracy for the found blocks, "
        "{spos_blocks.all-shuffle-3x3.top1_percent} to {spos_blocks.random-search.top1_percent} % "
        "for uniform and random ones",
        cost="16 GPU days",
        parameters=spos.SposRetrain,
        notebook="34_spos_retrain.ipynb",
        recipe="spos_retrain:retrain",
    ),
    Experiment(
        name="spos-correlation",
        title="Does the supernet rank networks as training from scratch does?",
        section="SPOS Sect. 4, correlation",
        claim="a positive Kendall tau between both rankings",
        cost="not stated",
        parameters=spos.SposCorrelation,
        notebook="35_spos_correlation.ipynb",
        recipe="spos_correlation:correlate",
        fills={"supernet": {"space": "macro"}},
    ),
    Experiment(
        name="spos-cost",
        title="Table 7: one path beside the whole mixture",
        section="SPOS Sect. 4, Table 7",
        claim="24 GB of memory for one path at a batch of 256, 37 for ProxylessNAS and 63 for FBNet, "
        "which trains the whole mixture: 2.63 times as much",
        cost="minutes",
        parameters=spos.SposCost,
        notebook="36_spos_cost.ipynb",
        recipe="step_cost:compare_paths",
    ),
)
