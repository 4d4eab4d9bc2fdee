"""pip install -e . brings what the main job needs; the extras are for tests, agents and a GPU."""

import re
from pathlib import Path

from setuptools import find_packages, setup

version = re.search(r'__version__ = "(.+)"', Path("qgd_np/__init__.py").read_text()).group(1)

setup(
    name="qgd-np",
    version=version,
    description="Hyper-parameters of a neural network under the control of a DQN",
    long_description=Path("README.md").read_text(),
    long_description_content_type="text/markdown",
    keywords="optimization, deep Q-learning, learning rate, gradient descent, NumPy, CuPy",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Mathematics",
    ],
    packages=find_packages(include=["qgd_np*"]),
    package_data={
        "qgd_np": ["README.md", "controllers/*.h5", "controllers/*/*.h5", "page/template.html"]
    },
    py_modules=["run_lr", "run_reg"],
    python_requires=">=3.11",
    install_requires=[
        "numpy>=1.24", "scipy>=1.15", "h5py>=3.8", "threadpoolctl>=3.1",
        "matplotlib>=3.7", "tqdm>=4.60",
    ],
    extras_require={
        "test": ["pytest>=7.4", "hypothesis>=6.80"],
        "gym": ["gymnasium>=1.0"],
        "dask": ["distributed>=2024.1"],
        "cuda12": ["cupy-cuda12x[ctk]>=14.0"],
        "cuda13": ["cupy-cuda13x[ctk]>=14.0"],
    },
)
