"""Probability maps and masks made elsewhere, to the mask statistics that rules work on."""

from segclf.summarize.maps.find import CaseFiles, FoundMaps, find_maps
from segclf.summarize.maps.read import Meaning, read_maps
from segclf.summarize.maps.statistics import map_statistics
from segclf.summarize.maps.stream import Measure, stream_maps

__all__ = [
    "CaseFiles",
    "FoundMaps",
    "Meaning",
    "Measure",
    "find_maps",
    "map_statistics",
    "read_maps",
    "stream_maps",
]
