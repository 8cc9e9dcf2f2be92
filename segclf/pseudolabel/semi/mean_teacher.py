"""`mean_teacher`: the student agrees with the moving average of its weights."""

from torch import Tensor, nn

from segclf.pseudolabel.semi.method import SemiMethod, with_teacher
from segclf.pseudolabel.semi.scene import Part, Scene
from segclf.pseudolabel.semi.targets import counted, squared_difference
from segclf.pseudolabel.semi.views import perturbed


def mean_teacher_loss(part: Part, teacher: nn.Module, scene: Scene) -> Tensor:
    """Mean squared difference between the student's and the teacher's probabilities.

    The student sees the augmented image, the teacher the same image with another contrast and
    brightness (as far as `augment.intensity`) and noise of its own. Only findings whose mask is
    not known count; `semi.boosted` changes the teacher's map as in `targets.counted`.

    Where we depart from the paper: the teacher is in evaluation mode, with averaged statistics of
    batch normalization; geometry is the same for both; only unlabelled cases count; the decay of
    the average warms up as min(decay, (1 + step) / (10 + step)).

    Args:
        part: The unlabelled cases.
        teacher: The moving average of the student.
        scene: The training.

    Source:
        Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """
    view = perturbed(
        part.image, strength=scene.recipe.augment.intensity, noise=scene.settings.noise
    )
    target, counts = counted(scene.taught(teacher, view), part, scene)
    return squared_difference(scene.probabilities(part.raw), target, counts)


MEAN_TEACHER = SemiMethod(with_teacher(mean_teacher_loss))
