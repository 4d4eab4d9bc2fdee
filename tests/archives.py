"""Small archives in the official layouts, for the tests."""

import gzip
import io
import pickle
import tarfile

import numpy as np

from qgd_np.images import synthetic


def make_arrays(records=6, seed=0):
    """The four arrays of a small data set: five batches for training and one for testing."""
    return synthetic.make(5 * records, records, seed)


def batches(arrays):
    """Yield (name, images, labels) of the six batches."""
    images, labels, test_images, test_labels = arrays
    for k in range(5):
        part = slice(len(test_labels) * k, len(test_labels) * (k + 1))
        yield f"data_batch_{k + 1}", images[part], labels[part]
    yield "test_batch", test_images, test_labels


def binary_files(arrays):
    """The official binary layout as {member name: bytes}."""
    files = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\nautomobile\n"}
    for name, images, labels in batches(arrays):
        records = np.concatenate([labels[:, None], images], axis=1)
        files[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
    return files


def python_files(arrays):
    """The official python layout as {member name: bytes}."""
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps({b"num_vis": 3072}, protocol=2)}
    for name, images, labels in batches(arrays):
        batch = {
            b"batch_label": name.encode(),
            b"labels": labels.tolist(),
            b"data": np.ascontiguousarray(images),
            b"filenames": [b"some_s_%06d.png" % k for k in range(len(labels))],
        }
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=2)
    return files


def pack(files, zipped=True):
    """Return the bytes of a .tar.gz (or .tar) of {member name: bytes}."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), 1) if zipped else stream.getvalue()


def unpack(files, folder):
    """Write {member name: bytes} below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def same(arrays, others):
    return all(np.array_equal(a, b) for a, b in zip(arrays, others, strict=True))
