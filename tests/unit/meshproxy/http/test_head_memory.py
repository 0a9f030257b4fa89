from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits


def test_each_set_of_limits_has_its_own_heads():
    memory = HeadMemory()
    lax, strict = HeadLimits(), HeadLimits(max_fields=1)
    assert memory.requests(lax) is memory.requests(HeadLimits())
    assert memory.requests(lax) is not memory.requests(strict)
    assert memory.responses(lax) is memory.responses(HeadLimits())
    assert memory.responses(lax) is not memory.responses(strict)


def test_the_number_of_sets_is_bounded():
    memory = HeadMemory()
    first = memory.requests(HeadLimits(max_fields=1))
    for count in range(2, 20):
        memory.requests(HeadLimits(max_fields=count))
    assert memory.requests(HeadLimits(max_fields=1)) is not first


def test_a_flood_of_heads_leaves_bounded_tables():
    memory = HeadMemory()
    table = memory.requests(HeadLimits())
    for number in range(3000):
        data = b"GET /%d HTTP/1.1\r\nHost: h%d\r\nX: %d\r\n\r\n" % (number, number, number)
        for _ in range(2):
            table.resolve(data, len(data) - 4, remember=True)
    assert table.memory.size <= 2048
    assert memory.request_lines.size <= 2048
    assert memory.request_fields.size <= 4096
