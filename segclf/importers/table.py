"""The layouts that can be imported; a new one is a file here and a line in this table."""

from collections.abc import Callable
from dataclasses import dataclass

from segclf.importers.busi import read_busi
from segclf.importers.coco import read_coco
from segclf.importers.datalist import read_monai, read_msd
from segclf.importers.folder import read_folder
from segclf.importers.gandlf import read_gandlf
from segclf.importers.imagefolder import read_imagefolder
from segclf.importers.isic import read_isic
from segclf.importers.medmnist import read_medmnist
from segclf.importers.nnunet import read_nnunet
from segclf.importers.record import Job, Mapping
from segclf.importers.rsna_pneumonia import read_rsna_pneumonia
from segclf.importers.rsna_spine import read_rsna_spine
from segclf.importers.siim import read_siim


@dataclass(frozen=True)
class Importer:
    """One layout."""

    read: Callable[[Job], Mapping]
    """Fills the rows of the job, writes masks that are no files, and says what columns mean."""
    options: tuple[str, ...] = ()
    """Which of `--table`, `--images` and `--masks` it knows."""


IMPORTERS: dict[str, Importer] = {
    "busi": Importer(read_busi),
    "coco": Importer(read_coco, ("table", "images")),
    "folder": Importer(read_folder, ("images", "masks")),
    "gandlf": Importer(read_gandlf, ("table",)),
    "imagefolder": Importer(read_imagefolder),
    "isic": Importer(read_isic),
    "medmnist": Importer(read_medmnist, ("table",)),
    "monai": Importer(read_monai, ("table",)),
    "msd": Importer(read_msd),
    "nnunet": Importer(read_nnunet),
    "rsna-pneumonia": Importer(read_rsna_pneumonia),
    "rsna-spine": Importer(read_rsna_spine),
    "siim": Importer(read_siim, ("table",)),
}
"""Kind to importer; packages add theirs under the entry-point group `segclf.importers`."""
