"""What a pool does with its actors, played without Ray: a cluster that grows, shrinks and fails."""

import re
from concurrent.futures import Future

import numpy as np
import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError

from lsg_ray.cluster.failures import MAX_RETRIES
from lsg_ray.cluster.pool import MEMORY_PAUSE_VARIABLE, Pool, PoolConfig
from lsg_ray.errors import AcceptanceError, ClusterError, LsgError

QUICK = PoolConfig(tick_seconds=0.0, ahead_seconds=0.0, idle_seconds=0.0, turn_seconds=1e9)


def died(preempted: bool = False) -> ActorDiedError:
    error = ActorDiedError()
    error._preempted = preempted
    return error


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("sample", f"Traceback:\n{type(cause).__name__}: {cause}", cause)


class Cluster:
    """Actors run where there is a CPU, in the order in which they were asked for."""

    def __init__(self, cpus: int) -> None:
        self.cpus, self.started, self.ended = cpus, 0, []
        self.waiting: dict[int, Future] = {}
        self.running: dict[int, dict[int, Future]] = {}
        self.calls: list[tuple[int, int, int]] = []  # actor, item, attempt
        self.lost: dict[int, Exception] = {}
        self.most = self.most_ahead = 0

    def start(self) -> int:
        self.started += 1
        return self.started

    def ready(self, handle: int) -> Future:
        self.waiting[handle] = Future()
        return self.waiting[handle]

    def compute(self, handle: int, item: int, attempt: int) -> Future:
        self.calls.append((handle, item, attempt))
        if handle not in self.running:
            call: Future = Future()
            call.set_exception(self.lost[handle])
            return call
        self.running[handle][item] = Future()
        self.most_ahead = max(self.most_ahead, len(self.running[handle]))
        return self.running[handle][item]

    def end(self, handle: int) -> None:
        self.ended.append(handle)
        self.waiting.pop(handle, None)
        self.running.pop(handle, None)

    def place(self) -> None:
        """Start actors on free CPUs."""
        while self.waiting and len(self.running) < self.cpus:
            handle = next(iter(self.waiting))
            self.running[handle] = {}
            self.waiting.pop(handle).set_result(None)
        self.most = max(self.most, len(self.running))

    def finish(self, handle: int) -> None:
        """Finish the item that an actor computes."""
        if items := self.running[handle]:
            item = next(iter(items))
            items.pop(item).set_result(10 * item)

    def lose(self, handle: int, error: Exception) -> None:
        """Take an actor away; all its calls fail, also those that are made later."""
        self.lost[handle] = error
        for call in [self.waiting.pop(handle, None), *self.running.pop(handle, {}).values()]:
            if call is not None:
                call.set_exception(error)

    def step(self) -> None:
        """Let each actor finish an item, then start others."""
        for handle in list(self.running):
            self.finish(handle)
        self.place()


def failure_of(pool, tick):
    """Return the error that ends a run."""
    with pytest.raises(LsgError) as raised, pool:
        list(pool.results(tick))
    return raised.value


def results_of(pool, tick):
    with pool:
        found = list(pool.results(tick))
    assert len(found) == len(dict(found)) == len(pool._items)
    assert dict(found) == {item: 10 * item for item in pool._items}
    return found


def test_all_items__are_computed_once_by_as_many_actors_as_given():
    cluster = Cluster(8)
    results_of(Pool(cluster, range(40), most=3, config=QUICK), cluster.step)
    assert (cluster.most, cluster.started) == (3, 3)
    assert [item for _, item, _ in cluster.calls] == list(range(40))
    assert sorted(cluster.ended) == [1, 2, 3]


def test_no_more_actors__than_items_are_asked_for():
    cluster = Cluster(8)
    results_of(Pool(cluster, np.arange(2), most=8, config=QUICK), cluster.step)
    assert cluster.started == 2


def test_items_of_a_lost_actor__go_to_others_at_once():
    cluster, lost = Cluster(2), []

    def tick():
        busy = [handle for handle, items in cluster.running.items() if items]
        if len(cluster.calls) >= 6 and busy and not lost:
            handle = busy[0]
            lost.extend(cluster.running[handle])
            cluster.lose(handle, died())
        cluster.step()

    results_of(Pool(cluster, range(20), most=2, config=QUICK), tick)
    again = [item for _, item, attempt in cluster.calls if attempt == 1]
    assert again == lost
    assert len(lost) == 1
    assert cluster.started == 3


def test_a_cluster_that_shrinks_for_good__ends_its_work():
    """Where Ray restarts actors itself, those that have no place keep their items."""
    cluster = Cluster(4)

    def tick():
        if len(cluster.calls) >= 12 and cluster.cpus == 4:
            cluster.cpus = 1
            for handle in list(cluster.running)[1:]:
                cluster.lose(handle, died())
        cluster.step()

    results_of(Pool(cluster, range(30), most=4, config=QUICK), tick)


def test_a_cluster_that_grows__gets_more_actors_and_is_asked_for_a_few_more():
    cluster, asked = Cluster(1), []
    config = PoolConfig(tick_seconds=0.0, ahead_seconds=0.0, spare=2)
    pool = Pool(cluster, range(200), most=None, first=3, config=config)

    def tick():
        asked.append(pool.size)
        if len(cluster.calls) > 20:
            cluster.cpus = 6
        cluster.step()

    results_of(pool, tick)
    assert cluster.most == 6
    assert max(starting for running, starting in asked if running == 1) <= 2
    assert max(starting for _, starting in asked) == 3  # as many as it had CPUs for at first
    assert (6, 2) in asked


def test_actors_without_work__are_ended_and_those_that_wait_for_a_place_too():
    cluster, sizes = Cluster(3), []
    pool = Pool(cluster, range(7), most=None, first=3, config=QUICK)

    def tick():
        sizes.append(pool.size)
        if sum(sizes[-1]) == 1:  # only the slow one is left
            cluster.finish(next(h for h, items in cluster.running.items() if 6 in items))
        for handle in [h for h, items in cluster.running.items() if 6 not in items]:
            cluster.finish(handle)
        cluster.place()

    results_of(pool, tick)
    assert (1, 0) in sizes


def test_an_item_that_kills_its_actors__ends_the_run_and_takes_no_other_with_it():
    cluster = Cluster(2)

    def tick():
        for handle, items in list(cluster.running.items()):
            if 3 in items:
                cluster.lose(handle, died())
        cluster.step()

    error = failure_of(Pool(cluster, range(40), most=2, config=QUICK), tick)
    assert "The actor died" in str(error)
    assert [attempt for _, item, attempt in cluster.calls if item == 3] == [*range(MAX_RETRIES + 1)]
    assert not cluster.running
    assert not cluster.waiting


def test_spot_nodes_that_are_taken_away__do_not_count():
    cluster, times = Cluster(1), 3 * MAX_RETRIES

    def tick():
        nonlocal times
        if times and cluster.running and cluster.calls:
            times -= 1
            cluster.lose(next(iter(cluster.running)), died(preempted=True))
        else:
            cluster.step()
        cluster.place()

    results_of(Pool(cluster, range(5), most=1, config=QUICK), tick)


def test_actors_that_never_run__end_the_run():
    cluster = Cluster(0)

    def tick():
        for handle in list(cluster.waiting):
            cluster.lose(handle, died())

    error = failure_of(Pool(cluster, range(5), most=2, config=QUICK), tick)
    assert "The actor died" in str(error)
    assert cluster.started <= 2 * (MAX_RETRIES + 1)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (raised(AcceptanceError("0 of 3 trials")), AcceptanceError, "^0 of 3 trials$"),
        (raised(FileNotFoundError("no place: /x")), ClusterError, "FileNotFoundError: no place"),
        (raised(MemoryError()), ClusterError, "out of memory"),
        (ActorDiedError(raised(ImportError("No module named lsg"))), ClusterError, "named lsg"),
    ],
)
def test_an_error_of_an_item__ends_the_run_at_once(error, kind, message):
    cluster = Cluster(2)

    def tick():
        cluster.place()
        for items in list(cluster.running.values()):
            if 1 in items:
                items.pop(1).set_exception(error)

    failure = failure_of(Pool(cluster, range(40), most=2, config=QUICK), tick)
    assert isinstance(failure, kind)
    assert re.search(message, str(failure))
    assert not cluster.running


def test_a_lost_actor_of_replicas__is_a_lost_actor():
    cluster, errors = Cluster(1), [raised(died()), raised(OutOfMemoryError("node"))]

    def tick():
        cluster.place()
        for handle, items in list(cluster.running.items()):
            if errors and items:
                cluster.lose(handle, errors.pop())
            else:
                cluster.finish(handle)

    config = PoolConfig(tick_seconds=0.0)
    results_of(Pool(cluster, range(4), most=1, config=config), tick)
    assert cluster.started == 3


# Memory


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setenv(MEMORY_PAUSE_VARIABLE, "1")


def test_an_actor_that_is_killed_for_memory_alone__is_tried_again_five_times(short_pauses):
    cluster = Cluster(1)

    def tick():
        cluster.place()
        for handle in list(cluster.running):
            cluster.lose(handle, OutOfMemoryError("node"))

    error = failure_of(Pool(cluster, range(50), most=1, config=QUICK), tick)
    assert "killed a worker for memory again and again" in str(error)
    assert cluster.started == 6


def test_memory_for_fewer_actors_than_asked_for__is_no_error(short_pauses):
    """Ray kills the newest; the others go on, and the blocks of the killed are done in the end."""
    cluster, kills = Cluster(4), 0

    def tick():
        nonlocal kills
        cluster.place()
        while len(cluster.running) > 2:
            kills += 1
            cluster.lose(list(cluster.running)[-1], OutOfMemoryError("node"))
        for handle in list(cluster.running):
            cluster.finish(handle)

    results_of(Pool(cluster, range(600), most=4, config=QUICK), tick)
    assert kills > 5


def test_the_pause_after_a_kill_for_memory__doubles_and_all_kills_within_it_are_one(monkeypatch):
    monkeypatch.setenv(MEMORY_PAUSE_VARIABLE, "1000")
    pool = Pool(Cluster(4), range(60), most=4, config=QUICK)
    now = [100.0]
    monkeypatch.setattr("lsg_ray.cluster.pool.time.monotonic", lambda: now[0])
    pauses = []
    for _ in range(4):
        for _ in range(3):
            pool._pause(OutOfMemoryError("node"))
        pauses.append(pool._no_start_before - now[0])
        now[0] += pauses[-1]
    assert pauses == [1, 2, 4, 8]


# Turns, and items ahead


def test_actors_on_a_shared_cluster__make_room_one_after_another():
    cluster, sizes = Cluster(4), []
    config = PoolConfig(tick_seconds=0.01, ahead_seconds=0.0, turn_seconds=0.1)
    pool = Pool(cluster, range(150), most=4, first=4, shared=True, config=config)

    def tick():
        sizes.append(pool.size[0])
        cluster.step()

    results_of(pool, tick)
    assert cluster.started > 8
    assert min(sizes[5:-5]) >= 2
    assert cluster.most == 4


@pytest.mark.parametrize(("ahead_seconds", "most"), [(0.0, 1), (1e-9, 1), (1e9, 5)])
def test_short_items__wait_at_actors_and_long_ones_do_not(ahead_seconds, most):
    cluster = Cluster(2)
    config = PoolConfig(tick_seconds=0.0, ahead_seconds=ahead_seconds, ahead=4)
    results_of(Pool(cluster, range(60), most=2, config=config), cluster.step)
    assert cluster.most_ahead == most


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_lost__each_item_is_computed_once(seed):
    rng = np.random.default_rng(seed)
    cluster = Cluster(3)
    config = PoolConfig(tick_seconds=0.0, ahead_seconds=1e9, ahead=2, idle_seconds=0.0)
    losses = 60

    def tick():
        nonlocal losses
        cluster.cpus = int(rng.integers(0, 5)) if losses else 3
        known = [*cluster.running, *cluster.waiting]
        if losses and known and rng.random() < 0.3:
            losses -= 1
            cluster.lose(int(rng.choice(known)), died(preempted=True))
        for handle in list(cluster.running):
            if rng.random() < 0.6 and handle in cluster.running:
                cluster.finish(handle)
        cluster.place()

    most = None if seed % 2 else 3
    results_of(Pool(cluster, np.arange(120), most=most, first=2, config=config), tick)
