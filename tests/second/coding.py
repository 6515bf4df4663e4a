"""Both Reed-Solomon codes, by their definition: matrices and interpolation, no tables and no transforms."""

from functools import lru_cache

from vector import same


class Field:
    """A binary field of `bits` bits modulo `polynomial`."""

    def __init__(self, bits, polynomial):
        self.bits, self.polynomial = bits, polynomial

    def times(self, a, b):
        product = 0
        while b:
            if b & 1:
                product ^= a
            a, b = a << 1, b >> 1
            if a >> self.bits:
                a ^= self.polynomial
        return product

    def power(self, a, exponent):
        product = 1
        for _ in range(exponent):
            product = self.times(product, a)
        return product

    @lru_cache(maxsize=None)
    def inverse(self, a):
        if a == 0:
            raise ZeroDivisionError("zero has no inverse")
        result, square = 1, a
        for _ in range(self.bits - 1):  # a^(2^bits - 2)
            square = self.times(square, square)
            result = self.times(result, square)
        return result

    def solve(self, matrix, right):
        """The X of `matrix` X = `right` by elimination; rows are lists of elements."""
        rows = [list(a) + list(b) for a, b in zip(matrix, right)]
        size = len(rows)
        for column in range(size):
            pivot = next(row for row in range(column, size) if rows[row][column])
            rows[column], rows[pivot] = rows[pivot], rows[column]
            factor = self.inverse(rows[column][column])
            rows[column] = [self.times(factor, value) for value in rows[column]]
            for row in range(size):
                if row != column and rows[row][column]:
                    factor = rows[row][column]
                    rows[row] = [a ^ self.times(factor, b) for a, b in zip(rows[row], rows[column])]
        return [row[size:] for row in rows]

    def combine(self, factors, symbols):
        """The sum of symbols, each times its factor."""
        out = [0] * len(symbols[0])
        for factor, symbol in zip(factors, symbols):
            out = [a ^ self.times(factor, b) for a, b in zip(out, symbol)]
        return out


SMALL = Field(8, 0x11D)
LARGE = Field(16, 0x1002D)


def small_rows(k, r):
    """The factors of each repair symbol in the Vandermonde matrix made systematic."""
    vandermonde = [[SMALL.power(row, column) for column in range(k)] for row in range(k + r)]
    identity = [[int(row == column) for column in range(k)] for row in range(k)]
    inverse = SMALL.solve(vandermonde[:k], identity)
    return [SMALL.combine(row, inverse) for row in vandermonde[k:]]


# Each element is a root of x^2 + x = the one before it, and even.
CANTOR = [0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012]
CANTOR += [0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E]
same([LARGE.times(x, x) ^ x for x in CANTOR], [0] + CANTOR[:-1], "Cantor basis")


def point(number):
    """The element that a number stands for: the sum of those of the basis whose bits are set."""
    total = 0
    for bit, basis in enumerate(CANTOR):
        if number >> bit & 1:
            total ^= basis
    return total


@lru_cache(maxsize=None)
def numbers():
    """The number of each element."""
    return {point(number): number for number in range(1 << 16)}


def lagrange(points, at, through):
    """The value at `at` of the polynomial that is 1 at `through` and 0 at all other `points`."""
    over, under = 1, 1
    for other in points:
        if other != through:
            over = LARGE.times(over, at ^ other)
            under = LARGE.times(under, through ^ other)
    return LARGE.times(over, LARGE.inverse(under))


def next_power_of_two(n):
    return 1 << (n - 1).bit_length()


def large_rows(k, r):
    """The factors of each repair symbol in the code of Leopard, by interpolation."""
    of_k, of_r = next_power_of_two(k), next_power_of_two(r)
    high = of_k > of_r or of_k == of_r and k <= r
    m = of_r if high else of_k
    rows = []
    for repair in range(r):
        row = []
        for source in range(k):
            # The points of the chunk of `m` source symbols that this one belongs to.
            start = m + source // m * m if high else 0
            points = [point(start + i) for i in range(m)]
            row.append(lagrange(points, point(repair if high else m + repair), point(start + source % m)))
        rows.append(row)
    return rows


def elements(scheme, symbol):
    if scheme == 2:
        return list(symbol)
    out = []
    for at in range(0, len(symbol), 64):
        chunk = symbol[at : at + 64]
        out += [point(low | high << 8) for low, high in zip(chunk[:32], chunk[32:])]
    return out


def as_bytes(scheme, values):
    if scheme == 2:
        return bytes(values)
    out = b""
    for at in range(0, len(values), 32):
        chunk = [numbers()[value] for value in values[at : at + 32]]
        out += bytes(value & 255 for value in chunk) + bytes(value >> 8 for value in chunk)
    return out


def check_coding(vector):
    scheme, k, r = (vector.number(name) for name in ("scheme", "source-symbols", "repair-symbols"))
    length = vector.number("slice-length") * vector.number("slices")
    field, rows = {2: (SMALL, small_rows), 3: (LARGE, large_rows)}[scheme]
    rows = rows(k, r)

    stated = vector.bytes("source")
    padded = stated.ljust(k * length, b"\0")
    source = [elements(scheme, padded[i * length : (i + 1) * length]) for i in range(k)]
    repair = [field.combine(row, source) for row in rows]
    same(b"".join(as_bytes(scheme, symbol) for symbol in repair), vector.body, "repair symbols")

    # The repair symbols alone give back as many source symbols, the first ones.
    lost = min(k, r)
    stored = [elements(scheme, vector.body[i * length : (i + 1) * length]) for i in range(lost)]
    known = [field.combine(row[lost:] + [1], source[lost:] + [symbol]) for row, symbol in zip(rows, stored)]
    solved = field.solve([row[:lost] for row in rows[:lost]], known)
    same(b"".join(as_bytes(scheme, symbol) for symbol in solved + source[lost:])[: len(stated)], stated, "source")
