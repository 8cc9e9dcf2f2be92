"""Networks by name: segmenters for 2D and 3D, and classifiers on the same encoders."""

from segclf.networks.anisotropic import plan_strides
from segclf.networks.joint import ImageSide, JointNetwork, JointOutputs, build_joint
from segclf.networks.output import against_rest, finding_logits, set_output_bias
from segclf.networks.parts import Parts, Stages, Steps
from segclf.networks.pretrained import EncoderWeights, load_encoder, save_encoder
from segclf.networks.segmenter import (
    Classifier,
    Features,
    Segmenter,
    build_classifier,
    build_segmenter,
)
from segclf.networks.table import NETWORKS, check_network

__all__ = [
    "NETWORKS",
    "Classifier",
    "EncoderWeights",
    "Features",
    "ImageSide",
    "JointNetwork",
    "JointOutputs",
    "Parts",
    "Segmenter",
    "Stages",
    "Steps",
    "against_rest",
    "build_classifier",
    "build_joint",
    "build_segmenter",
    "check_network",
    "finding_logits",
    "load_encoder",
    "plan_strides",
    "save_encoder",
    "set_output_bias",
]
