"""Masks by the prompter network: what is run how often, and what a prompt guarantees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from shls.runtime.backends.base import open_session
from shls.runtime.backends.pretrained import ASSETS, EXACT
from shls.runtime.errors import BadInput, ContractMismatch
from shls.runtime.models.contract import Contract, PrompterContract
from shls.runtime.prompts.crop import PromptChannel
from shls.runtime.prompts.grab_cut import mask_from_prompt
from shls.runtime.prompts.network import NetworkSolver, open_solver
from shls.runtime.prompts.prompt import Prompt
from tests.runtime.prompts.scenes import iou, scene


class Map:
    """An embedding whose map is the same everywhere; counts its runs."""

    backend, on_gpu = "drawn", False

    def __init__(self) -> None:
        self.contract, self.runs = Contract("drawn", 32, 48, 4, "abc"), 0

    def run(self, tensor: np.ndarray) -> np.ndarray:
        self.runs += 1
        return np.full((4, tensor.shape[2] // 4, tensor.shape[3] // 4), 0.5, np.float32)


class Drawn:
    """A prompter that answers with the same logit everywhere, or with the red of its crop; keeps its inputs."""

    backend = "drawn"

    def __init__(self, logit: float | None = None) -> None:
        self.contract = PrompterContract("drawn", 64, len(PromptChannel), 4, "", "abc")
        self.crops: list[np.ndarray] = []
        self._logit = logit

    def run(self, crop: np.ndarray, features: np.ndarray) -> np.ndarray:
        assert features.shape == (7, 16, 16)
        self.crops.append(crop)
        red = 20 * (crop[PromptChannel.RED] - crop[PromptChannel.GREEN])[::2, ::2]
        return red if self._logit is None else np.full((32, 32), self._logit, np.float32)


@pytest.fixture
def disc() -> tuple[np.ndarray, np.ndarray]:
    image, labels = scene((160, 120))
    return image, labels > 0


def test_a_box_takes_one_run_and_points_two(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = disc
    session, network = Map(), Drawn()
    solver = NetworkSolver(session, network)
    assert iou(solver(image, Prompt(boxes=((128, 88, 64, 64),))), truth) > 0.9
    assert len(network.crops) == 1
    assert iou(solver(image, Prompt(points=((160, 120),))), truth) > 0.9
    assert len(network.crops) == 3
    assert not network.crops[1][PromptChannel.LAST].any()
    assert (network.crops[2][PromptChannel.LAST] > 0).mean() > 0.2, "the second run is near the mask of the first"
    assert session.runs == 1, "the features of an image are computed once"
    solver(image[:, ::-1].copy(), Prompt(points=((160, 120),)))
    assert session.runs == 2


def test_further_clicks_correct_the_mask_of_the_first(disc: tuple[np.ndarray, np.ndarray]) -> None:
    network = Drawn()
    NetworkSolver(Map(), network)(disc[0], Prompt(points=((160, 120), (150, 110)), negative_points=((200, 120),)))
    first, second = network.crops
    assert not first[[PromptChannel.NEGATIVE, PromptChannel.LAST]].any(), "the first point alone"
    assert second[PromptChannel.NEGATIVE].max() > 0.9
    assert second[PromptChannel.LAST].any()
    assert (second[PromptChannel.POINT] > 0.5).sum() > (first[PromptChannel.POINT] > 0.5).sum()


def test_an_image_that_changed_in_place_is_seen(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, session = disc[0].copy(), Map()
    solver = NetworkSolver(session, Drawn())
    solver(image, Prompt(points=((160, 120),)))
    image[:] = image[:, ::-1]
    solver(image, Prompt(points=((160, 120),)))
    assert session.runs == 2


def test_a_mask_is_corrected_in_its_surroundings(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = disc
    network, half = Drawn(), truth.copy()
    half[:, 160:] = False
    found = NetworkSolver(Map(), network)(image, Prompt(points=((180, 120),), mask=half))
    assert iou(found, truth) > 0.9
    assert len(network.crops) == 1
    assert (network.crops[0][PromptChannel.LAST] > 0).any()


def test_a_mask_alone_is_the_result_and_boxes_cut_it(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = disc
    network = Drawn()
    solver = NetworkSolver(Map(), network)
    assert (solver(image, Prompt(mask=truth)) == truth).all()
    assert not solver(image, Prompt(boxes=((0, 0, 160, 240),), mask=truth))[:, 160:].any()
    assert network.crops == []


def test_the_mask_agrees_with_the_prompt(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = disc
    everything, box = NetworkSolver(Map(), Drawn(9)), (40, 30, 50, 60)
    found = everything(image, Prompt(boxes=(box,), negative_points=((50, 40),)))
    assert found[31, 41]
    assert not found[40, 50], "a negative point"
    found[30:90, 40:90] = False
    assert not found.any(), "a box bounds the object"
    found = everything(image, Prompt(boxes=(box,), points=((95, 60),)))
    assert found[60, 95], "a point outside of the box extends the object"
    nothing = NetworkSolver(Map(), Drawn(-9))
    assert nothing(image, Prompt(points=((9, 8),), negative_points=((100, 100),)))[8, 9]


def test_each_box_is_found_alone(disc: tuple[np.ndarray, np.ndarray]) -> None:
    network = Drawn(9)
    found = NetworkSolver(Map(), network)(disc[0], Prompt(boxes=((10, 10, 20, 20), (200, 100, 30, 40))))
    assert len(network.crops) == 2
    assert found.sum() == 20 * 20 + 30 * 40


def test_grab_cut_where_the_network_finds_nothing(disc: tuple[np.ndarray, np.ndarray]) -> None:
    prompt = Prompt(boxes=((128, 88, 64, 64),))
    found = NetworkSolver(Map(), Drawn(-9))(disc[0], prompt)
    assert (found == mask_from_prompt(disc[0], prompt)).all()


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (Prompt(negative_points=((3, 3),)), "nothing says where the object is"),
        (Prompt(points=((400, 3),)), "outside the frame"),
        (Prompt(boxes=((5, 5, 0, 9),)), "the box is empty"),
        (Prompt(points=((3, 3),), negative_points=((3, 3),)), "on the object and not on it"),
    ],
)
def test_a_bad_prompt_is_refused_before_the_network_runs(prompt: Prompt, words: str) -> None:
    session = Map()
    with pytest.raises(BadInput, match=words):
        NetworkSolver(session, Drawn())(scene()[0], prompt)
    assert session.runs == 0


def test_a_prompter_of_another_embedding_is_refused() -> None:
    network = Drawn()
    network.contract = replace(network.contract, embedding_sha256="def")
    with pytest.raises(ContractMismatch, match="prompter: was trained with another embedding"):
        NetworkSolver(Map(), network)


def test_the_shipped_prompter_finds_a_disc(disc: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = disc
    solver = open_solver(open_session(ASSETS / EXACT, device="cpu"), device="cpu")
    assert isinstance(solver, NetworkSolver)
    assert iou(solver(image, Prompt(boxes=((129, 89, 62, 62),))), truth) > 0.8
    clicks = Prompt(points=((160, 120),))
    assert solver(image, clicks)[120, 160]


def test_grab_cut_without_a_prompter_of_the_embedding() -> None:
    assert open_solver(Map(), device="cpu") is mask_from_prompt
