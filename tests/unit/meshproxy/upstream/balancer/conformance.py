"""What every balancer must do. A balancer's test file subclasses this and says how to build one."""

from random import Random

from meshproxy.config.model import Endpoint
from meshproxy.upstream.balancer.api import Balancer, PickContext
from tests.unit.meshproxy.upstream.balancer.hosts import FakeHost, hosts, pick_many


class BalancerConformance:
    """Subclass it as `Test…` and define `make`."""

    share_tolerance = 0.0
    """How far from its exact share an endpoint may be, of all picks; 0 for those that take turns."""

    def make(self, targets: list[FakeHost], rng: Random) -> Balancer[FakeHost]:
        """The balancer under test."""
        raise NotImplementedError

    def test_no_endpoint_is_no_choice(self) -> None:
        assert self.make([], Random(1)).pick() is None
        assert self.make([], Random(1)).pick(PickContext(7), {0}) is None

    def test_a_single_endpoint_is_always_chosen_even_when_tried(self) -> None:
        [target] = hosts(1)
        balancer = self.make([target], Random(1))
        assert [balancer.pick(), balancer.pick(None, {id(target)}), balancer.pick()] == [target] * 3

    def test_weightless_endpoints_are_never_chosen(self) -> None:
        targets = hosts(0, 1, 0, 1)
        balancer = self.make(targets, Random(1))
        assert {balancer.pick() for _ in range(200)} == {targets[1], targets[3]}
        assert balancer.pick(None, {id(targets[1])}) is targets[3]
        assert balancer.pick(None, {id(targets[1]), id(targets[3])}) in (targets[1], targets[3])

    def test_only_weightless_endpoints_is_no_choice(self) -> None:
        balancer = self.make(hosts(0, 0), Random(1))
        assert balancer.pick() is None
        assert balancer.pick(None, {1}) is None

    def test_an_untried_endpoint_is_preferred_until_none_is_left(self) -> None:
        for weights in ((1, 1, 1, 1), (1, 50, 2, 7)):
            targets = hosts(*weights)
            for seed in range(10):
                balancer = self.make(targets, Random(seed))
                tried: tuple[int, ...] = ()
                for _ in targets:
                    target = balancer.pick(None, tried)
                    assert target is not None
                    assert id(target) not in tried
                    tried = (*tried, id(target))
                assert balancer.pick(None, tried) in targets

    def test_an_endpoint_that_does_not_exist_does_no_harm(self) -> None:
        targets = hosts(1, 1)
        assert self.make(targets, Random(1)).pick(None, {7}) in targets

    def test_equal_weights_get_equal_shares(self) -> None:
        self.check_shares((2, 2, 2))

    def test_different_weights_get_their_shares(self) -> None:
        self.check_shares((1, 2, 7))

    def check_shares(self, weights: tuple[int, ...]) -> None:
        picks = pick_many(self.make(hosts(*weights), Random(1)), 3000)
        for index, weight in enumerate(weights):
            error = picks[f"10.0.0.{index}"] / 3000 - weight / sum(weights)
            assert abs(error) <= self.share_tolerance + 2 / 3000, (index, error)

    def test_where_it_starts_depends_on_the_generator(self) -> None:
        targets = hosts(*[1] * 8)
        assert len({self.make(targets, Random(seed)).pick() for seed in range(50)}) > 1

    def test_addresses_of_both_families_work(self) -> None:
        targets = [FakeHost(Endpoint("::1", 80)), FakeHost(Endpoint("10.0.0.1", 80))]
        assert {self.make(targets, Random(seed)).pick() for seed in range(50)} == set(targets)
