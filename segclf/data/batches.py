"""Batches for training, which depend on the seed and the step alone, and for evaluation."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from segclf.core.config import Recipe
from segclf.core.errors import CaseError, ConfigError
from segclf.core.records import Case
from segclf.data.augment import affine_matrix, change_intensity, draw_augmentation, resample
from segclf.data.cache import CaseCache
from segclf.data.checks import check_feeding
from segclf.data.crop import cut, draw_window, keep_whole_boxes, pad, whole
from segclf.data.read import read_case
from segclf.data.sample import Batch, Sample
from segclf.data.sampling import Plan, Task, plan_sampling
from segclf.data.workers import ordered


def train_batches(
    cases: Sequence[Case],
    recipe: Recipe,
    *,
    task: Task,
    cache: CaseCache,
    start_step: int = 0,
    n_steps: int,
    rank: int = 0,
    world: int = 1,
    plan: Plan | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> Iterator[Batch]:
    """Augmented batches of the steps `start_step` to `start_step + n_steps - 1`, in order.

    A batch depends on the recipe's seed, its step and the cases, not on the number of workers or
    on earlier batches: training that starts again at step k sees what it would have seen.

    Args:
        cases: Training cases; those with nothing known to learn from are left out.
        recipe: Batch size (over all ranks), balance, augmentation, crops, workers.
        task: `segment` crops to `segment.patch_px`; `classify` sees whole images.
        cache: Where prepared cases come from.
        start_step: First step.
        n_steps: Number of steps.
        rank: Which share of each batch this process gets.
        world: Number of processes that share each batch.
        plan: Which cases each step sees; None balances them as the recipe says.
        on_event: Told once, as `{"kind": "warning", "about": "sampling", "message": …}`, if
            balancing was not possible.

    Raises:
        ConfigError: The recipe's settings contradict each other, or the batch cannot be shared.
        CaseError: A case cannot be read, or has another shape than the rest of its batch.
    """
    check_feeding(recipe)
    if recipe.train.batch_size % world:
        raise ConfigError(
            f"a batch of {recipe.train.batch_size} cannot be shared by {world} processes.",
            where="train.batch_size",
            expected=f"a multiple of {world}; it is the size over all processes",
            fix=f"set train.batch_size: {world * -(-recipe.train.batch_size // world)}",
        )
    plan = plan or plan_sampling(cases, recipe, task=task, cache=cache)
    if plan.note is not None and on_event is not None:
        on_event({"kind": "warning", "about": "sampling", "message": plan.note})
    call = functools.partial(
        _train_batch, cases=cases, recipe=recipe, task=task, cache=cache, plan=plan
    )
    yield from ordered(
        functools.partial(call, rank=rank, world=world),
        range(start_step, start_step + n_steps),
        workers=recipe.train.workers,
        on_start=cache.enter_worker,
    )


def _train_batch(
    step: int,
    *,
    cases: Sequence[Case],
    recipe: Recipe,
    task: Task,
    cache: CaseCache,
    plan: Plan,
    rank: int,
    world: int,
) -> Batch:
    chosen = plan.draw(step)[rank::world]
    patch_px = recipe.segment.patch_px if task == "segment" else None
    drawn = [
        training_example(cases[index], cache.get(cases[index]), recipe, patch_px, epoch)
        for index, epoch in chosen
    ]
    members = [cases[index] for index, _ in chosen]
    _check_shapes(members, [tuple(image.shape) for image, _ in drawn])
    return Batch(
        image=torch.stack([image for image, _ in drawn]),
        target=torch.stack([target for _, target in drawn]),
        label=torch.tensor([case.labels for case in members], dtype=torch.float32),
        case_id=[case.case_id for case in members],
        step=step,
    )


def training_example(
    case: Case, sample: Sample, recipe: Recipe, patch_px: tuple[int, ...] | None, epoch: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and target of a case as its seed, its epoch and its id change them."""
    key = (recipe.seed, epoch, case.case_id)
    image, target = sample.image, sample.target
    shape = tuple(image.shape[1:])
    draw = draw_augmentation(recipe.augment, len(shape), *key)
    if draw.flips:
        axes = [axis + 1 for axis in draw.flips]
        image, target = image.flip(axes), target.flip(axes)
    matrix = affine_matrix(draw, shape, _px_size(sample)) if draw.is_affine else None
    window = whole(shape)
    if patch_px is not None:
        share = recipe.segment.foreground_share
        window = draw_window(target, patch_px, matrix, share, *key)
    before = target
    if matrix is None:
        image, target = cut(image, window), cut(target, window)
    else:
        image, target = resample(image, target, matrix, window)
    target = keep_whole_boxes(before, target, matrix, window)
    image = change_intensity(image, draw)
    if patch_px is not None:
        image, target = pad(image, patch_px), pad(target, patch_px)
    return image, target


def _px_size(sample: Sample) -> tuple[float, ...]:
    """Size of a prepared pixel per axis; pixels of the input count as equal if nobody says."""
    shape = sample.image.shape[1:]
    spacing = sample.spacing_mm or (1.0,) * len(shape)
    sides = zip(spacing, sample.input_shape, shape, strict=True)
    return tuple(size * before / after for size, before, after in sides)


def _check_shapes(cases: Sequence[Case], shapes: Sequence[tuple[int, ...]]) -> None:
    for case, shape in zip(cases, shapes, strict=True):
        if shape != shapes[0]:
            raise CaseError(
                "shapes_differ",
                f"the prepared image has shape {shape}, others of its batch {shapes[0]}.",
                where=f"case {case.case_id} beside case {cases[0].case_id}",
                expected="images of one shape (channel, *space) in a batch",
                fix="set image.size_px, or segment.patch_px, or train.batch_size: 1",
            )


def eval_batches(
    cases: Sequence[Case],
    recipe: Recipe,
    *,
    cache: CaseCache | None = None,
    batch_size: int,
    with_target: bool = True,
    workers: int | None = None,
) -> Iterator[Batch]:
    """All cases once, in order, unchanged; neighbours of equal shape share a batch.

    A case that cannot be read does not stop the others: it is named in `quarantined` of the
    batch that its group yields first, which may hold no case at all.

    Args:
        cases: What is evaluated.
        recipe: How cases are prepared.
        cache: Where prepared cases come from; None reads each case anew and keeps nothing.
        batch_size: Most cases of a batch.
        with_target: False leaves masks unread (only without a cache); targets are then empty.
        workers: Processes that read ahead; None takes `predict.workers`.
    """
    check_feeding(recipe)
    call = functools.partial(
        _eval_group,
        cases=cases,
        recipe=recipe,
        cache=cache,
        batch_size=batch_size,
        with_target=with_target,
    )
    groups = ordered(
        call,
        range(-(-len(cases) // batch_size)),
        workers=recipe.predict.workers if workers is None else workers,
        on_start=None if cache is None else cache.enter_worker,
    )
    for group in groups:
        yield from group


def _eval_group(
    group: int,
    *,
    cases: Sequence[Case],
    recipe: Recipe,
    cache: CaseCache | None,
    batch_size: int,
    with_target: bool,
) -> list[Batch]:
    runs: list[list[tuple[Case, Sample]]] = []
    quarantined: list[tuple[str, str, str]] = []
    for case in cases[group * batch_size : (group + 1) * batch_size]:
        try:
            sample = (
                read_case(case, recipe, with_target=with_target)
                if cache is None
                else cache.get(case)
            )
        except CaseError as error:
            quarantined.append((case.case_id, error.reason, str(error)))
            continue
        if not runs or runs[-1][0][1].image.shape != sample.image.shape:
            runs.append([])
        runs[-1].append((case, sample))
    batches = [_eval_batch(run, group) for run in runs]
    if quarantined and not batches:
        nothing = torch.empty(0)
        batches = [Batch(nothing, nothing, nothing, [], group)]
    if quarantined:
        batches[0].quarantined = quarantined
    return batches


def _eval_batch(run: list[tuple[Case, Sample]], group: int) -> Batch:
    samples = [sample for _, sample in run]
    return Batch(
        image=torch.stack([sample.image for sample in samples]),
        target=torch.stack([sample.target for sample in samples]),
        label=torch.stack([sample.label for sample in samples]),
        case_id=[case.case_id for case, _ in run],
        step=group,
        input_shape=[sample.input_shape for sample in samples],
        spacing_mm=[sample.spacing_mm for sample in samples],
        affine=[sample.affine for sample in samples],
    )
