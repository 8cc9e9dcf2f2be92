"""How a 2D network learns from volumes, slice by slice."""

from typing import Any, Literal

from pydantic import Field

from segclf.core.settings_base import Settings, Switch


class SliceSettings(Settings):
    """Volumes cut into slices, and slices that see their neighbours."""

    cut: Switch = False
    """Each file of the manifest is a volume, and each of its slices becomes a case
    `<case_id>#<slice>`; needs `image.spatial_dims: 2`. Files are cut while they are read."""
    axis: Literal["auto", "x", "y", "z"] = "auto"
    """Axis of the volume (x, y, z in RAS+) along which slices follow each other; `auto` is the one
    of the largest spacing, and z where spacings are about equal or not known."""
    neighbours: int = Field(default=0, ge=0, le=8)
    """Slices on either side that the network sees as channels too (2.5D); the order is that of the
    slices. Without `cut` the manifest needs `volume_id` and `slice_index`."""
    edge: Literal["repeat", "zero"] = "repeat"
    """What stands for a neighbour beyond the first or last slice: that slice once more, or zeros
    (after scaling; with `cut` only)."""

    @property
    def in_use(self) -> dict[str, Any]:
        """The settings, if any of them has an effect; else nothing."""
        is_used = self.cut or self.neighbours > 0
        return {"slices": self.model_dump(mode="json")} if is_used else {}
