"""Small trees in published layouts; each builder quotes the layout and its source."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

N = 20
"""Cases; every second one is positive."""
SIDE = 32


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch):
    """Tests do not wait for the disk; files are as complete without it."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


def picture(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 200, (SIDE, SIDE)).astype(np.uint8)


def square(i: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if i % 2:
        mask[4 + i % 5 : 14, 6 : 16 + i % 7] = 1
    return mask


def save_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def save_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def save_json(path: Path, value) -> None:
    save_text(path, json.dumps(value))


def save_nifti(path: Path, array: np.ndarray, affine=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([1.0, 1, 2, 1]) if affine is None else affine), path)


def volume(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 200, (16, 16, 8)).astype(np.int16)


def cube(i: int, value: int = 1) -> np.ndarray:
    mask = np.zeros((16, 16, 8), np.uint8)
    if i % 2:
        mask[3:9, 4:10, 2:6] = value
    return mask


def two_cubes(i: int) -> np.ndarray:
    return cube(i) + np.roll(cube(i // 2, 2), 6, axis=0)


def save_dicom(path: Path, pixels: np.ndarray, series: str, *, place: float | None = None) -> None:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.Modality = series, "CT"
    made.PatientName, made.PatientID = "CANARY^JANE", "CANARY7"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.PixelData, made.PixelSpacing = pixels.tobytes(), [1.0, 1.0]
    if place is not None:
        made.ImagePositionPatient = [0.0, 0, place]
        made.ImageOrientationPatient = [1.0, 0, 0, 0, 1, 0]
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)


def nnunet(root: Path) -> Path:
    """nnU-Net v2. "case_identifier_XXXX.SUFFIX"; "channel_names", "labels": {"background": 0,
    "PZ": 1, "TZ": 2}, "numTraining": 32, "file_ending": ".nii.gz".

    https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
    """
    save_json(root / "dataset.json", {
        "channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "PZ": 1, "TZ": 2},
        "numTraining": N, "file_ending": ".nii.gz",
    })  # fmt: skip
    for i in range(N):
        for channel in (0, 1):
            name = f"prostate_{i:02d}_{channel:04d}.nii.gz"
            save_nifti(root / "imagesTr" / name, volume(i + 100 * channel))
        save_nifti(
            root / "labelsTr" / f"prostate_{i:02d}.nii.gz",
            two_cubes(i),
        )
    for channel in (0, 1):
        save_nifti(root / "imagesTs" / f"prostate_90_{channel:04d}.nii.gz", volume(90))
    return root


def msd(root: Path) -> Path:
    """Medical Segmentation Decathlon: "modality": {"0": "MRI"}, "labels": {"0": "background",
    "1": "Anterior", "2": "Posterior"}, "training": [{"image": "./imagesTr/hippocampus_367.nii.gz",
    "label": "./labelsTr/hippocampus_367.nii.gz"}], "test": ["./imagesTs/hippocampus_267.nii.gz"].

    Antonelli et al. 2022, https://doi.org/10.1038/s41467-022-30695-9; the dataset.json of the
    archives at http://medicaldecathlon.com, e.g. Task04_Hippocampus.
    """
    names = [f"hippocampus_{i:03d}.nii.gz" for i in range(N)]
    save_json(root / "dataset.json", {
        "name": "Hippocampus", "tensorImageSize": "3D", "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "numTraining": N, "numTest": 1,
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names],
        "test": ["./imagesTs/hippocampus_900.nii.gz"],
    })  # fmt: skip
    for i, name in enumerate(names):
        save_nifti(root / "imagesTr" / name, volume(i))
        save_nifti(root / "labelsTr" / name, two_cubes(i))
    save_nifti(root / "imagesTs/hippocampus_900.nii.gz", volume(900))
    return root


def monai(root: Path) -> Path:
    """MONAI datalist: {"training": [{"fold": 0, "image": "image_001.nii.gz",
    "label": "label_001.nii.gz"}, ...], "testing": [{"image": "image_010.nii.gz"}]}.

    https://github.com/Project-MONAI/tutorials/tree/main/auto3dseg ("datalist") and
    https://docs.monai.io/en/stable/data.html#monai.data.load_decathlon_datalist
    """
    save_json(root / "datalist.json", {
        "training": [
            {"fold": i // 2 % 2, "image": f"scans/image_{i:03d}.nii.gz",
             "label": f"scans/label_{i:03d}.nii.gz", "sex": "F" if i % 3 else "M"}
            for i in range(N)
        ],
        "testing": [{"image": "scans/image_900.nii.gz"}],
    })  # fmt: skip
    for i in range(N):
        save_nifti(root / f"scans/image_{i:03d}.nii.gz", volume(i))
        save_nifti(root / f"scans/label_{i:03d}.nii.gz", cube(i))
    save_nifti(root / "scans/image_900.nii.gz", volume(900))
    (root / "F").mkdir()  # a folder called as a value: MONAI's reader joins paths to such texts
    return root


def siim(root: Path) -> Path:
    """SIIM-ACR Pneumothorax: "ImageId, EncodedPixels" with -1 for none, and relative run lengths;
    dicom-images-train/<study>/<series>/<image>.dcm.

    https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation/data ("the encoding is relative");
    the header of train-rle.csv has a blank: "ImageId, EncodedPixels".
    """
    lines = ["ImageId, EncodedPixels"]
    for i in range(N):
        uid = f"1.2.276.0.7230010.3.1.4.8323329.{i}"
        save_dicom(
            root / f"dicom-images-train/1.2.3.{i}/1.2.4.{i}/{uid}.dcm", picture(i), f"1.9.{i}"
        )
        if i % 2 == 0:
            lines.append(f"{uid}, -1")
        else:  # columns 3 and 4, rows 5 to 14; of case 1 in two rows of the table
            start = 3 * SIDE + 5
            codes = (
                [f"{start} 10", f"{start + SIDE} 10"] if i == 1 else [f"{start} 10 {SIDE - 10} 10"]
            )
            lines += [f"{uid}, {code}" for code in codes]
    save_text(root / "train-rle.csv", "\n".join(lines) + "\n")
    return root


def isic(root: Path) -> Path:
    """ISIC 2017: "ISIC_<image_id>.jpg", "<image_id>_segmentation.png", metadata "image_id,
    age_approximate, sex", ground truth "image_id,melanoma,seborrheic_keratosis".

    https://challenge.isic-archive.com/landing/2017/44 and https://challenge.isic-archive.com/data
    """
    base = "ISIC-2017_Training"
    facts, truth = ["image_id,age_approximate,sex"], ["image_id,melanoma,seborrheic_keratosis"]
    for i in range(N):
        name = f"ISIC_{i:07d}"
        save_png(root / f"{base}_Data/{name}.jpg", np.stack([picture(i)] * 3, axis=-1))
        save_png(
            root / f"{base}_Part1_GroundTruth/{name}_segmentation.png", 255 * square(2 * i + 1)
        )
        facts.append(f"{name},{30 + 5 * (i % 9)},{'unknown' if i == 3 else 'female'}")
        truth.append(f"{name},{float(i % 2)},0.0")
    save_png(root / f"{base}_Data/ISIC_0000000_superpixels.png", picture(0))
    save_text(root / f"{base}_Data/{base}_Data_metadata.csv", "\n".join(facts))
    save_text(root / f"{base}_Part3_GroundTruth.csv", "\n".join(truth))
    return root


def busi(root: Path) -> Path:
    """BUSI: folders benign, malignant, normal; "benign (1).png", "benign (1)_mask.png", and
    "benign (4)_mask_1.png" where an image has a second lesion.

    Al-Dhabyani et al. 2020, https://doi.org/10.1016/j.dib.2019.104863
    """
    base = root / "Dataset_BUSI_with_GT"
    for i in range(3 * 12):
        name = ("benign", "malignant", "normal")[i % 3]
        path = base / name / f"{name} ({i // 3 + 1}).png"
        save_png(path, np.stack([picture(i)] * 3, axis=-1))
        mask = square(0 if name == "normal" else 2 * i + 1)
        save_png(path.with_name(path.stem + "_mask.png"), mask.astype(bool))
    second = np.zeros((SIDE, SIDE), bool)
    second[25:30, 25:30] = True
    save_png(base / "benign/benign (4)_mask_1.png", second)
    return root


def rsna_pneumonia(root: Path) -> Path:
    """RSNA 2018: stage_2_train_labels.csv "patientId,x,y,width,height,Target", a row per box;
    stage_2_detailed_class_info.csv "patientId,class"; stage_2_train_images/<patientId>.dcm.

    https://www.kaggle.com/c/rsna-pneumonia-detection-challenge/data
    """
    lines, kinds = ["patientId,x,y,width,height,Target"], ["patientId,class"]
    for i in range(N):
        patient = f"0004cfab-14fd-4e49-80ba-{i:012d}"
        save_dicom(root / f"stage_2_train_images/{patient}.dcm", picture(i), f"1.9.{i}")
        if i % 2:
            lines += [f"{patient},4.0,6.0,8.0,10.0,1", f"{patient},20.0,6.0,6.0,9.0,1"]
        else:
            lines.append(f"{patient},,,,,0")
        kinds.append(f"{patient},{'Lung Opacity' if i % 2 else 'Normal'}")
    save_text(root / "stage_2_train_labels.csv", "\n".join(lines))
    save_text(root / "stage_2_detailed_class_info.csv", "\n".join(kinds))
    return root


def rsna_spine(root: Path) -> Path:
    """RSNA 2022: train.csv "StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7";
    train_images/<StudyInstanceUID>/<slice_number>.dcm; segmentations/<StudyInstanceUID>.nii with
    "labels 1 to 7 for C1 to C7 and 8 to 19 for T1 to T12".

    https://www.kaggle.com/competitions/rsna-2022-cervical-spine-fracture-detection/data
    """
    lines = ["StudyInstanceUID,patient_overall,C1,C2,C3,C4,C5,C6,C7"]
    for i in range(N):
        study = f"1.2.826.0.1.3680043.{i + 1}"
        stored = volume(i)
        for k in range(
            stored.shape[2]
        ):  # stored rows run to the back (LPS +y), columns to the left
            path = root / f"train_images/{study}/{k + 1}.dcm"
            save_dicom(path, np.ascontiguousarray(stored[:, :, k].T), f"1.9.{i}", place=2.0 * k)

        fractures = [str(i % 2)] * 7
        lines.append(",".join([study, str(i % 2), *fractures]))
        if i < 12:
            spine = np.zeros((16, 16, 8), np.uint8)
            for vertebra in range(1, 8):
                spine[3:9, 2 * vertebra - 1 : 2 * vertebra, 2:6] = vertebra
            save_nifti(root / f"segmentations/{study}.nii", spine, np.diag([-1.0, -1, 2, 1]))
    save_text(root / "train.csv", "\n".join(lines))
    return root


def coco(root: Path) -> Path:
    """COCO: "images": [{"id", "file_name", "width", "height"}], "annotations": [{"id", "image_id",
    "category_id", "segmentation": polygons or RLE, "area", "bbox": [x, y, width, height],
    "iscrowd"}], "categories": [{"id", "name", "supercategory"}].

    https://cocodataset.org/#format-data
    """
    images, annotations = [], []
    for i in range(N):
        save_png(root / f"images/scan{i:03d}.png", picture(i))
        images.append({"id": i, "file_name": f"scan{i:03d}.png", "width": SIDE, "height": SIDE})
        if i % 2 == 0:
            continue
        polygon = [4, 6, 20, 6, 20, 14, 4, 14]
        before = 8 * SIDE + 2  # column 8, row 2
        runs = {"size": [SIDE, SIDE], "counts": [before, 12, SIDE * SIDE - before - 12]}
        item = {"id": i, "image_id": i, "category_id": 7, "area": 128, "bbox": [4, 6, 16, 8]}
        item |= {"segmentation": [polygon], "iscrowd": 0} if i % 4 == 1 else {
            "segmentation": runs, "iscrowd": 1}  # fmt: skip
        annotations.append(item)
    save_json(root / "annotations/instances_all.json", {
        "images": images, "annotations": annotations,
        "categories": [{"id": 7, "name": "lung nodule", "supercategory": "finding"}],
    })  # fmt: skip
    return root


def medmnist(root: Path) -> Path:
    """MedMNIST: an .npz with {train,val,test}_images and {train,val,test}_labels; "target: np.array
    of `L` (L=1 for single-label)".

    https://github.com/MedMNIST/MedMNIST/blob/main/medmnist/dataset.py
    """
    arrays = {}
    for part, n in (("train", 12), ("val", 8), ("test", 8)):
        draw = np.random.default_rng(n + len(part))
        arrays[f"{part}_images"] = draw.integers(0, 200, (n, 28, 28)).astype(np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 2)[:, None].astype(np.uint8)
    root.mkdir(parents=True)
    np.savez(root / "pneumoniamnist.npz", **arrays)
    return root


def gandlf(root: Path) -> Path:
    """GaNDLF: "SubjectID,Channel_0,Channel_1,...,Channel_X,Label" with "/full/path/001/0.nii.gz";
    "For classification/regression, add a column called `ValueToPredict`".

    https://github.com/mlcommons/GaNDLF/blob/master/docs/usage.md (Constructing the Data CSV)
    """
    lines = ["SubjectID,Channel_0,Channel_1,Label,ValueToPredict"]
    for i in range(N):
        folder = root / f"{i:03d}"
        for channel in (0, 1):
            save_nifti(folder / f"{channel}.nii.gz", volume(i + 100 * channel))
        save_nifti(folder / "segmentation.nii.gz", cube(i))
        files = [folder / "0.nii.gz", folder / "1.nii.gz", folder / "segmentation.nii.gz"]
        lines.append(",".join([f"{i:03d}", *map(str, files), str(i % 2)]))
    save_text(root / "train.csv", "\n".join(lines))
    return root


def folder(root: Path) -> Path:
    """images/ and masks/ joined by name, as in Kvasir-SEG (same name in both folders) and
    CVC-ClinicDB; endings such as `_mask` as in Carvana.

    Jha et al. 2020, https://doi.org/10.1007/978-3-030-37734-2_37 ("images" and "masks")
    """
    for i in range(N):
        save_png(root / f"images/cju{i:03d}.png", picture(i))
        save_png(root / f"masks/cju{i:03d}{'_mask' if i % 3 else ''}.png", 255 * square(i))
    return root


def imagefolder(root: Path) -> Path:
    """torchvision's ImageFolder: "root/dog/xxx.png", "root/cat/123.png".

    https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
    """
    for i in range(N):
        save_png(root / ("COVID" if i % 2 else "Normal") / f"{i:03d}.png", picture(i))
    return root


BUILDERS = {
    "busi": busi, "coco": coco, "folder": folder, "gandlf": gandlf, "imagefolder": imagefolder,
    "isic": isic, "medmnist": medmnist, "monai": monai, "msd": msd, "nnunet": nnunet,
    "rsna-pneumonia": rsna_pneumonia, "rsna-spine": rsna_spine, "siim": siim,
}  # fmt: skip


@pytest.fixture
def tree(tmp_path):
    """Build the tree of a kind; returns its folder."""
    return lambda kind: BUILDERS[kind](tmp_path / "set")


def read_pixels(path: Path) -> np.ndarray:
    """By another library than the code under test uses for it."""
    if path.suffix == ".dcm":
        return pydicom.dcmread(path).pixel_array
    if path.name.endswith((".nii", ".nii.gz")):
        return np.asanyarray(nib.load(path).dataobj)
    return np.asarray(Image.open(path))


@pytest.fixture
def pixels():
    return read_pixels
