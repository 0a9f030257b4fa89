"""What every balancer must do. A balancer's test file subclasses this and says how to build one."""

from random import Random

from meshproxy.config.model import Endpoint
from meshproxy.upstream.balancer.api import Balancer


def endpoints(*weights: int) -> tuple[Endpoint, ...]:
    """One endpoint per weight, at 10.0.0.<index>:80."""
    return tuple(Endpoint(f"10.0.0.{index}", 80, weight) for index, weight in enumerate(weights))


class BalancerConformance:
    """Subclass it as `Test…` and define `make`."""

    def make(self, targets: tuple[Endpoint, ...], rng: Random) -> Balancer:
        """The balancer under test."""
        raise NotImplementedError

    def test_no_endpoint_is_no_choice(self) -> None:
        assert self.make((), Random(1)).pick() is None
        assert self.make((), Random(1)).pick({0}) is None

    def test_a_single_endpoint_is_always_chosen_even_when_tried(self) -> None:
        targets = endpoints(1)
        balancer = self.make(targets, Random(1))
        assert [balancer.pick(), balancer.pick({0}), balancer.pick()] == [0, 0, 0]

    def test_unhealthy_and_weightless_endpoints_are_never_chosen(self) -> None:
        targets = (
            Endpoint("a", 1, healthy=False),
            Endpoint("b", 1),
            Endpoint("c", 1, weight=0),
            Endpoint("d", 1),
        )
        balancer = self.make(targets, Random(1))
        assert {balancer.pick() for _ in range(20)} == {1, 3}
        assert balancer.pick({1, 3}) in {1, 3}

    def test_only_unusable_endpoints_is_no_choice(self) -> None:
        assert (
            self.make((Endpoint("a", 1, healthy=False), Endpoint("b", 1, weight=0)), Random(1)).pick() is None
        )

    def test_an_untried_endpoint_is_preferred_until_none_is_left(self) -> None:
        targets = endpoints(1, 1, 1, 1)
        for seed in range(10):
            balancer = self.make(targets, Random(seed))
            tried: set[int] = set()
            for _ in targets:
                index = balancer.pick(tried)
                assert index is not None
                assert index not in tried
                tried.add(index)
            assert balancer.pick(tried) in range(4)

    def test_an_index_that_does_not_exist_does_no_harm(self) -> None:
        assert self.make(endpoints(1, 1), Random(1)).pick({7}) in {0, 1}

    def test_equal_weights_get_equal_shares(self) -> None:
        balancer = self.make(endpoints(2, 2, 2), Random(1))
        picks = [balancer.pick() for _ in range(300)]
        assert [picks.count(index) for index in range(3)] == [100, 100, 100]

    def test_where_it_starts_depends_on_the_generator(self) -> None:
        targets = endpoints(*[1] * 8)
        assert len({self.make(targets, Random(seed)).pick() for seed in range(50)}) > 1
