"""Training, evaluation and prediction through LightningCLI: flat YAML files and dotted overrides."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint, ModelSummary, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger, WandbLogger

from lit_cv.callbacks.after_training import AfterTraining
from lit_cv.errors import UserError, refused
from lit_cv.runs.checkpoints import AtomicCheckpointIO, require_training_state
from lit_cv.runs.files import write_yaml
from lit_cv.runs.prose import say
from lit_cv.tasks.sharding import gathered
from lit_cv.tracking.artifacts import log_artifacts
from lit_cv.tracking.run import Mode, default_project, identity, log_result, replay
from lit_cv.training import slurm_task
from lit_cv.training.arguments.parsing import Parser, parse
from lit_cv.training.checkpoints import BestCheckpoint, LastCheckpoint
from lit_cv.training.from_data import fill_size
from lit_cv.training.live import EvaluationLine, LiveLine, tell_result
from lit_cv.training.metrics_csv import MetricsCSV
from lit_cv.training.noise import lightning_reasons, quiet, refuse_tuners, restoring
from lit_cv.training.provenance import Provenance
from lit_cv.training.scoring.kept import FOLDER, KeptPredictions
from lit_cv.training.stop_request import StopRequest
from lit_cv.training.stopping import NoSignalHandlers, StopBetweenSteps

OF_THE_CALL = ("ckpt_path", "weights_only")  # arguments of one call, which do not define a run


@dataclass
class RunOptions:
    """Place and tracking of a run. Nothing here changes its result.

    Args:
        root: Folder of all runs.
        group: Folder below ``root``, the name of the sweep; by default the experiment's name.
        wandb: ``auto`` is WANDB_MODE if it is set, else online with a key and offline without one.
        project: W&B project; by default WANDB_PROJECT, else ``lit-cv``.
        checkpoint_every: Number of optimizer steps between two resumable checkpoints.
        artifacts: Whether W&B also gets the checkpoints, the predictions and the fingerprint of the data, as artifacts.
    """

    root: str = "runs"
    group: str | None = None
    wandb: Mode = "auto"
    project: str = field(default_factory=default_project)
    checkpoint_every: int = 200
    artifacts: bool = False


class LitCLI(LightningCLI):
    """LightningCLI that gives every run its own folder.

    Private parts of Lightning (checked with 2.6): ``_get``, ``_parse_ckpt_path``,
    ``_prepare_subcommand_kwargs``, ``_run_subcommand``, ``_set_seed``, ``_signal_connector``,
    ``_wandb_init``.

    Args:
        args: The subcommand and its options.
        folder: Folder of the run; None for an evaluation, which does not write into it.
        checkpoint: Checkpoint from which a fit continues.
        callbacks: Further callbacks.
        verbose: Whether to show what Lightning, PyTorch and W&B report about themselves.
        averaged: Whether an evaluation uses the averaged weights of its checkpoint.
    """

    def __init__(
        self,
        args: Sequence[str],
        folder: Path | None = None,
        checkpoint: Path | None = None,
        callbacks: Sequence[L.Callback] = (),
        verbose: bool = False,
        averaged: bool = False,
    ) -> None:
        self.folder, self.checkpoint, self.extra_callbacks = folder, checkpoint, list(callbacks)
        self.given, self.verbose, self.averaged = list(args), verbose, averaged
        with lightning_reasons(), contextlib.nullcontext() if verbose else quiet():
            super().__init__(
                save_config_callback=None,
                trainer_defaults={"use_distributed_sampler": False},
                seed_everything_default=1,
                parser_class=Parser,
                args=list(args),
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the `run` group."""
        parser.add_class_arguments(RunOptions, "run")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, turning the parser's report into one sentence."""
        self.config = parse(parser, args)

    def _parse_ckpt_path(self) -> None:
        """Check the checkpoint of ``--ckpt_path``; Lightning would take hyperparameters from it."""
        verb = self.config.get("subcommand")
        path = self.config[verb].get("ckpt_path") if verb else None
        if path and not self.checkpoint:
            require_training_state(Path(path))
            if verb == "fit" and self.config[verb].model.init_args.get("initial_weights"):
                raise UserError(
                    "--ckpt_path restores all weights, so model.initial_weights would have no effect; give one of them."
                )

    def _run_subcommand(self, subcommand: str) -> None:
        """Carry out the subcommand; an error while a checkpoint is restored becomes one sentence."""
        with restoring(self.checkpoint or self._get(self.config, "ckpt_path")):
            super()._run_subcommand(subcommand)

    def instantiate_classes(self) -> None:
        """Take the size of the network from the data where it is null, then build everything."""
        fill_size(self.config[self.subcommand])
        super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Give the trainer the run's folder, loggers and checkpoints."""
        trainer = dict(self._get(self.config_init, "trainer"))
        callbacks = [*(trainer["callbacks"] or []), *self.extra_callbacks]
        kwargs |= {"plugins": [*(trainer["plugins"] or []), AtomicCheckpointIO(self.averaged)]}
        if self.subcommand == "fit" and self.folder:
            callbacks += self._callbacks_of_run(self.folder, callbacks)
            kwargs |= {"default_root_dir": self.folder, "logger": self._loggers(trainer["logger"])}
            kwargs["enable_progress_bar"] = _wanted(trainer["enable_progress_bar"], ProgressBar, callbacks)
            summary = trainer["enable_model_summary"]
            kwargs["enable_model_summary"] = _wanted(summary, ModelSummary, callbacks, self.verbose)
            if not kwargs["enable_progress_bar"]:
                callbacks.append(LiveLine(self.folder, self.best))
            if slurm_task.is_task():
                kwargs["plugins"].append(SLURMEnvironment(auto_requeue=False))  # its handler saves inside the signal
                kwargs |= slurm_task.trainer_settings(trainer)
        else:
            kwargs |= {"logger": False, "enable_checkpointing": False}
            kwargs["enable_progress_bar"] = _wanted(trainer["enable_progress_bar"], ProgressBar, callbacks)
            if not kwargs["enable_progress_bar"]:
                callbacks.append(EvaluationLine())
        with refused("trainer"):
            built = super().instantiate_trainer(**kwargs, callbacks=callbacks)
        built._signal_connector = NoSignalHandlers(built)
        if trainer["sync_batchnorm"] and built.world_size > 1 and built.strategy.root_device.type == "cpu":
            raise UserError(
                "trainer.sync_batchnorm: PyTorch synchronizes batch norms only on GPUs; leave it out on CPU."
            )
        return built

    def _callbacks_of_run(self, folder: Path, given: Sequence[L.Callback]) -> list[L.Callback]:
        """Return the callbacks that every run has, and give a place in the run's folder to those that ask for one."""
        refuse_tuners(given)
        checkpoints = folder / "checkpoints"
        for callback in given:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(checkpoints / type(callback).__name__)
        own = self.checkpoint is not None
        start, seed = self._get(self.config, "ckpt_path"), self._get(self.config, "seed_everything")
        self.provenance = Provenance(folder, self.given, seed, start, own)
        monitor, facts = self.model.MONITOR, self.model.logged_metrics()
        if monitor not in facts:
            task = type(self.model).__name__
            raise UserError(f"{task}: MONITOR is {monitor}, which METRICS does not name; add it, or set MONITOR.")
        mode = "max" if facts[monitor].higher_is_better else "min"
        kept = KeptPredictions(folder / FOLDER)
        self.best = BestCheckpoint(checkpoints, monitor, mode, own, then=kept.keep_best)
        last = LastCheckpoint(checkpoints, self._get(self.config_init, "run").checkpoint_every)
        return [self.provenance, kept, self.best, last, StopRequest(folder), StopBetweenSteps(last)]

    def _loggers(self, given: Any) -> list[Logger]:
        assert self.folder is not None
        run = self._get(self.config_init, "run")
        loggers: list[Logger] = [MetricsCSV(self.folder)]
        loggers += given if isinstance(given, list) else [given] if isinstance(given, Logger) else []
        if known := identity(self.folder, run.wandb, run.project):
            logger = WandbLogger(save_dir=self.folder, config=self._resolved(), **known)
            logger._wandb_init.pop("anonymous", None)  # W&B warns of this argument, also where it is None
            loggers.append(logger)
        return loggers

    def _resolved(self) -> dict[str, Any]:
        dumped = self.parser.dump(self.config, skip_none=False, format="yaml")
        config: dict[str, Any] = yaml.safe_load(dumped)["fit"]
        return {key: value for key, value in config.items() if key not in OF_THE_CALL}

    def before_fit(self) -> None:
        """Write the resolved configuration into the run's folder and open the run's page on W&B."""
        if self.folder and self.trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_yaml(self.folder / "config.yaml", self._resolved())
            for logger in self.trainer.loggers:
                if isinstance(logger, WandbLogger):
                    replay(self.folder, logger.experiment)
                    if not logger.experiment.offline:
                        print(f"W&B: {logger.experiment.url}", flush=True)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        if subcommand == "fit" and self.checkpoint:
            kwargs["ckpt_path"] = self.checkpoint
        if kwargs.get("ckpt_path"):
            self.model.initial_weights.skip()
        return kwargs | {"weights_only": True}

    def after_fit(self) -> None:
        """End every run with the work of callbacks after the training, a validation of the final weights, and a result.

        This is no hook of the training loop, which is skipped if a resumed run has all its steps.
        """
        if self.folder is None or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        later = [part for part in self.trainer.callbacks if isinstance(part, AfterTraining)]  # type: ignore[attr-defined]
        for callback in later:
            callback.after_training(self.trainer, self.model, self.folder)
        self.provenance.stop_clock()
        steps = self.trainer.global_step
        if not steps and not later and self.trainer.is_global_zero:
            say(
                "note: no step was trained (trainer.max_steps, trainer.max_epochs or trainer.limit_train_batches is "
                "0), so all numbers are those of the initial weights."
            )
        if later or self.provenance.validated_step != steps:
            self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)
        with gathered(self.model.network):
            self.provenance.write_result(self.trainer, self.model)
        if self.trainer.is_global_zero:
            log_result(self.folder)
            if self._get(self.config_init, "run").artifacts:
                log_artifacts(self.folder)
            if stopped := self.provenance.stopped:
                print(f"stopped early at step {stopped['step']}: {stopped['reason']}")
            tell_result(self.folder, self.provenance.metrics, self.best)


def _wanted(
    setting: bool | None, kind: type[L.Callback], callbacks: Sequence[L.Callback], default: bool = False
) -> bool:
    """Tell whether Lightning shall show something: by its setting, else if a callback of this kind is given."""
    given = any(isinstance(callback, kind) for callback in callbacks)
    return (given or default) if setting is None else setting


class ParserOnly(LitCLI):
    """The parser of ``LitCLI``: parses nothing and builds nothing by itself."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Keep an empty configuration."""
        self.config = Namespace(subcommand=None)  # type: ignore[no-untyped-call]

    def instantiate_classes(self) -> None:
        """Build nothing."""

    def _set_seed(self) -> None:
        """Set no seed."""
