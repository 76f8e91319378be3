"""The JSON of a record, whose digest is its name: OCI image specification, `descriptor.md` and `config.md`."""

from __future__ import annotations

import pytest

from minidocker.spec.image import Descriptor, History, ImageConfig, Manifest, Platform, RootFS

DIGEST = "sha256:" + "1" * 64
PLAIN = Descriptor(media_type="text/plain", digest=DIGEST, size=5)


@pytest.fixture
def render(learner):
    """What calls the writer of a record's type: `render_record`."""
    return learner.find("minidocker.spec.record:render_record")


def test_keys_are_the_words_of_the_specification(render):
    """`media_type` is how Python spells it; every other program looks for `mediaType`."""
    assert render(PLAIN) == {"mediaType": "text/plain", "digest": DIGEST, "size": 5}
    assert render(RootFS(diff_ids=(DIGEST,))) == {"type": "layers", "diff_ids": [DIGEST]}


def test_fields_keep_their_order(render):
    """JSON does not care for the order of keys, but a digest does: the same record has to give the same bytes every time."""
    assert list(render(Platform(architecture="arm", variant="v7"))) == ["architecture", "os", "variant"]


def test_optional_field_that_is_empty_is_left_out(render):
    """Most instructions have no comment, most machines no variant; with empty keys for these an image would get another id."""
    assert render(History(created_by="RUN make")) == {"created_by": "RUN make"}
    assert "variant" not in render(Platform(architecture="amd64"))


def test_required_field_that_is_empty_is_written(render):
    """An empty file has the size 0, and an image may have no layers: that *is* what there is to say, and readers insist on it."""
    assert render(Descriptor(media_type="text/plain", digest=DIGEST, size=0))["size"] == 0
    assert render(RootFS()) == {"type": "layers", "diff_ids": []}


def test_optional_field_with_a_value_is_written(render):
    """`empty_layer` marks an instruction that made no layer; without it the rows of the history and the layers do not fit."""
    assert render(History(created_by="CMD sh", empty_layer=True)) == {"created_by": "CMD sh", "empty_layer": True}


def test_record_inside_a_record_becomes_an_object(render):
    """A manifest holds descriptors, a configuration the settings of a container: all of it is one document."""
    document = render(Manifest(config=PLAIN, layers=(PLAIN, PLAIN)))
    assert document["config"] == {"mediaType": "text/plain", "digest": DIGEST, "size": 5}
    assert document["layers"] == [document["config"]] * 2
    assert render(ImageConfig(rootfs=RootFS(diff_ids=(DIGEST,))))["rootfs"]["diff_ids"] == [DIGEST]


def test_record_of_several_kinds_says_which_it_is(learner, render):
    """The steps of a container are records of many kinds in one list: who reads it can only go by what stands there."""
    step = learner.find("minidocker.kernel.steps:SetHostname")(hostname="shop")
    assert render(step)["Kind"] == "SetHostname"
