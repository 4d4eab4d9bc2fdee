"""Where an episode begins: an initial iterate x_1, and what the plain steps from it end in.

The M - 1 plain steps that open an episode (Algorithms 3 and 4; here 1 and 2 too, D22) are the same
each time they are taken from the same x_1, so they are taken once.
"""


class Start:
    """An x_1 of the objective f and, for each M asked for, the x_M that the plain steps lead to.

    keeps: False for an x_1 that is used once.
    """

    def __init__(self, f, x_1, keeps=True):
        self.f, self.x_1, self.keeps = f, x_1, keeps
        self.kept = {}  # {M: (x_M as a vector (P,), F up to M - 1, the log of the plain steps)}

    def begin(self, M, history):
        """Return x_t, F up to t - 1 and t: those of t = 1 or, if they are known, of t = M."""
        if M not in self.kept:
            return self.x_1, [], 1
        vector, F, log = self.kept[M]
        history.restore(log)
        return self.f.point(vector), F, M

    def keep(self, M, x, F, history):
        """Keep x_M; return it as a point of no line, as it will be when it is used again."""
        vector = getattr(x, "x", x)
        if self.keeps:
            self.kept[M] = vector, F, history.opening(M)
        return self.f.point(vector)


class Starts:
    """The x_1 of the training episodes (D21): x_1(k), k < count, in turn; count 0: never twice."""

    def __init__(self, f, x_1, count):
        self.f, self.x_1, self.count = f, x_1, count
        self.known = {}

    def of(self, e):
        """The start of episode e."""
        if not self.count:
            return Start(self.f, self.x_1(e), keeps=False)
        k = e % self.count
        if k not in self.known:
            self.known[k] = Start(self.f, self.x_1(k))
        return self.known[k]
