"""Modules are loaded without garbage collection, which is enabled again after it."""

import gc

import pytest

from worker.loading import without_collection


def test_collection_is_off_while_modules_are_loaded() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()


def test_failed_loading_leaves_collection_enabled() -> None:
    with pytest.raises(ImportError), without_collection():
        raise ImportError
    assert gc.isenabled()
    gc.unfreeze()


def test_loaded_objects_are_left_out_of_collections() -> None:
    before = gc.get_freeze_count()
    with without_collection():
        loaded = [object() for _ in range(10)]
    assert gc.get_freeze_count() > before
    assert loaded
    gc.unfreeze()
