"""The numbers of tables, each described once: heading, unit and decimals, by its name in the files that hold it.

Names are those of the published tables (`published_tables/`), of `metrics.jsonl` and of `result.json`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A number as a table shows it."""

    name: str
    words: str
    unit: str = ""
    decimals: int = 1
    as_printed: bool = False  # the papers' own numbers with as many digits as they print: 4, not 4.0

    @property
    def heading(self) -> str:
        """What the number is, with its unit."""
        return f"{self.words} ({self.unit})" if self.unit else self.words


COLUMNS = {
    column.name: column
    for column in (
        # Published tables
        Column("test_error_percent", "test error", "%", 2),
        Column("std", "standard deviation", "%"),
        Column("top1_error_percent", "top-1 test error", "%"),
        Column("top5_error_percent", "top-5 test error", "%"),
        Column("top1_percent", "top-1 accuracy", "%"),
        Column("params_millions", "parameters", "M", 2, as_printed=True),
        Column("params_M", "parameters", "M", 2, as_printed=True),
        Column("mult_adds_millions", "multiply-adds", "M", as_printed=True),
        Column("flops_M", "multiply-adds", "M", as_printed=True),
        Column("bitops_G", "bit operations", "2^30", 2),
        Column("search_gpu_days", "search cost", "GPU days", as_printed=True),
        Column("supernet_gpu_days", "supernet", "GPU days", as_printed=True),
        Column("retrain_gpu_days", "retraining", "GPU days", as_printed=True),
        Column("total_gpu_days", "total cost", "GPU days", as_printed=True),
        Column("memory_GB", "memory", "GB", as_printed=True),
        Column("latency_ms", "latency", "ms", as_printed=True),
        Column("ops", "operations", as_printed=True),
        # metrics.jsonl and result.json
        Column("train_loss", "training loss", "nats"),
        Column("train_error", "training error", "%"),
        Column("train_perplexity", "training perplexity"),
        Column("valid_error", "validation error", "%"),
        Column("valid_perplexity", "validation perplexity"),
        Column("random_valid_perplexity", "validation perplexity of random search"),
        Column("test_error", "test error", "%"),
        Column("test_perplexity", "test perplexity"),
        Column("test_accuracy", "test accuracy", "%"),
        Column("accuracy", "held-out accuracy", "%"),
        Column("accuracy_not_recomputed", "held-out accuracy without recomputed BatchNorm", "%"),
        Column("random_accuracy", "held-out accuracy of random search", "%"),
        Column("uniform_accuracy", "held-out accuracy after sampling over paths", "%"),
        Column("best_accuracy", "best held-out accuracy", "%"),
        Column("true_accuracy", "true accuracy", "%"),
        Column("random_true_accuracy", "true accuracy of random search", "%"),
        Column("best_true_accuracy", "true accuracy of the best", "%"),
        Column("equal_cost_true_accuracy", "mean true accuracy at equal cost", "%"),
        Column("inherited", "accuracy with inherited weights", "%"),
        Column("not_recomputed", "accuracy without recomputed BatchNorm", "%"),
        Column("stand_alone", "accuracy trained from scratch", "%"),
        Column("parameters_millions", "parameters", "M"),
        Column("bitops_giga", "bit operations", "2^30"),
        Column("kendall_tau", "Kendall tau"),
        Column("kendall_tau_cost", "Kendall tau of multiply-adds alone"),
        Column("kendall_tau_equal_cost", "Kendall tau at equal cost"),
        Column("kendall_tau_not_recomputed", "Kendall tau without recomputed BatchNorm"),
        Column("ratio", "time of the second order over the first"),
        Column("memory_ratio", "memory of the whole mixture over one path"),
        Column("seconds_ratio", "time of the whole mixture over one path"),
        Column("cost_latency", "latency of a batch", "ms"),
        Column("cost_multiply-adds", "multiply-adds of an image"),
        Column("cosine", "cosine of Eq. 8 with the exact derivative"),
        Column("step_images_per_second", "images a second, training steps"),
        Column("input_images_per_second", "images a second, input"),
    )
}


def heading(name: str) -> str:
    """Return a name as people read it; what is not described here is called as it is, without underlines."""
    return COLUMNS[name].heading if name in COLUMNS else name.replace("_", " ")
