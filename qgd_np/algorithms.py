"""Algorithms 1 to 4 of the paper, one function each, beside their printed lines.

Every statement ends in a tag: `A3:12` is line 12 of the list in the docstring of Algorithm 3,
`D7` a decision of ours (the table in README.md), `log` keeps a number and changes nothing.

f is an objective (objective.py): f(x), f.gradient(x), f.observe(x, d, d_before). p holds the
parameters, with the names of config.py. Q is the DQN; a start is an x_1 that knows where the plain
steps from it end (starts.py). Algorithms 1 and 2 take the M - 1 plain steps of 3 and 4 too (D22);
with M = 1 and the last candidate returned (D10) they are as printed. Algorithms 3 and 4 are
generators: they hand over each episode's history as it ends, to be shown and saved.
"""

import math

from .environment import ACCEPT, HALF, RAISE, returned, schedule, state


def q_gradient_descent_alpha(f, start, Q, p, history):
    """Algorithm 1, Q-gradient descent for the learning rate; returns the last iterate (D10).

    1   xbar = x_1, d(xbar) = -grad f(x_1), alpha_1 = alpha_c
    2   for t = 1, ..., T
    3       compute the state features s_t
    4       a_t = argmax_a Q(s_t; theta)
    5       if a_t is half
    6           alpha_{t+1} = alpha_t / 2
    7       else if a_t is accept
    8           xbar = x_t, d(xbar) = -grad f(xbar), alpha_{t+1} = alpha_c
    9       x_{t+1} = xbar + alpha_{t+1} d(xbar)
    10  return x_T
    """
    x, F, t_1 = start.begin(p.M, history)                                               # D22
    for t in range(t_1, p.M):                                                           # D22
        F = F + [f(x)]                                                                  # D6
        x = x - p.alpha_c * f.gradient(x)                                               # D22
        history.add(t, f(x), p.alpha_c, ACCEPT, x=x)                                    # log
    x = start.keep(p.M, x, F, history)                                                  # D22
    xbar, d, alpha = x, -f.gradient(x), p.alpha_c                                       # A1:1
    d_before = d                                                                        # D11
    for t in range(p.M, p.steps + 1):                                                   # A1:2
        seen = f.observe(x, d, d_before)                                                # D9
        s = state(alpha, p.alpha_c, p.alpha_c, seen, F, p)                              # A1:3
        a = Q.greedy(s)                                                                 # A1:4
        F, d_before = F + [f(x)], d                                                     # D6
        if a == HALF:                                                                   # A1:5
            alpha = alpha / 2                                                           # A1:6
        elif a == ACCEPT:                                                               # A1:7
            xbar, d, alpha = x, -f.gradient(x), p.alpha_c                               # A1:8
        x = xbar + alpha * d                                                            # A1:9
        x = returned(t, x, xbar, f, p)                                                  # D10
        history.add(t, f(x), alpha, a, x=x, s=s)                                        # log
        if not math.isfinite(f(x)):                                                     # D23
            break                                                                       # D23
    return x                                                                            # A1:10


def q_gradient_descent_lambda(g, start, Q, p, history):
    """Algorithm 2, Q-gradient descent for the regularization coefficient.

    1   xbar = x_1, d(xbar) = -grad g_lambda(x_1), lambda_1 = lambda_c
    2   for t = 1, ..., T
    3       compute the state features s_t
    4       a_t = argmax_a Q(s_t; theta)
    5       if a_t is half
    6           lambda_{t+1} = lambda_t / 2
    7       else if a_t is 1.25
    8           lambda_{t+1} = 1.25 lambda_t
    9       else if a_t is accept
    10          xbar = x_t, d(xbar) = -grad g_{lambda_t}(xbar), lambda_{t+1} = lambda_c
    11      x_{t+1} = xbar + alpha d(xbar)
    12  return x_T
    """
    x, G, t_1 = start.begin(p.M, history)                                               # D22
    for t in range(t_1, p.M):                                                           # D22
        G = G + [g(x, p.lambda_c)]                                                      # D6
        x = x - p.alpha * g.gradient(x, p.lambda_c)                                     # D22
        history.add(t, g(x), p.lambda_c, ACCEPT, x=x)                                   # log
    x = start.keep(p.M, x, G, history)                                                  # D22
    xbar, d, lam = x, -g.gradient(x, p.lambda_c), p.lambda_c                            # A2:1
    d_before = d                                                                        # D11
    for t in range(p.M, p.steps + 1):                                                   # A2:2
        seen = g.observe(x, d, d_before, lam)                                           # D9
        s = state(lam, p.lambda_c, p.alpha, seen, G, p)                                 # A2:3
        a = Q.greedy(s)                                                                 # A2:4
        G, d_before = G + [g(x, lam)], d                                                # D6
        if a == HALF:                                                                   # A2:5
            lam = lam / 2                                                               # A2:6
        elif a == RAISE:                                                                # A2:7
            lam = 1.25 * lam                                                            # A2:8
        elif a == ACCEPT:                                                               # A2:9
            xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c                           # A2:10
        x = xbar + p.alpha * d                                                          # A2:11
        x = returned(t, x, xbar, g, p)                                                  # D10
        history.add(t, g(x), lam, a, x=x, s=s)                                          # log
        if not math.isfinite(g(x)):                                                     # D23
            break                                                                       # D23
    return x                                                                            # A2:12


def q_learning_alpha(f, starts, Q, theta_0, memory, p, draws, histories, first=1):
    """Algorithm 3, Q-learning with experience replay for alpha; yields a history per episode.

    1   theta = theta_0
    2   for e = 1, ..., E
    3       for t = 1, ..., M - 1
    4           x_{t+1} = x_t - alpha_c grad f(x_t)
    5       xbar = x_M, d(xbar) = -grad f(x_M), alpha_M = alpha_c
    6       for t = M, ..., T
    7           generate the state features s_t
    8           choose a_t by the epsilon-greedy policy
    9           if a_t is half
    10              alpha_{t+1} = alpha_t / 2
    11          else if a_t is accept
    12              xbar = x_t, d(xbar) = -grad f(xbar), alpha_{t+1} = alpha_c
    13          x_{t+1} = xbar + alpha_{t+1} d(xbar)
    14          generate the state features s_{t+1}
    15          if a_t is not accept
    16              r_{t+1} = c_1 / (f(x_{t+1}) - f_lb)
    17          else if a_t is accept
    18              r_{t+1} = c_2 / (f(xbar) - f_lb)
    19          add the experience (s_t, a_t, r_{t+1}, s_{t+1})^e to the memory
    20          sample S from the memory and update theta by Eq. 10
    21  return theta
    """
    Q.theta = theta_0                                                                   # A3:1
    for e in range(first, p.episodes + 1):                                              # A3:2
        history = histories(e)                                                          # log
        start = starts.of(e)                                                            # D21
        x, F, t_1 = start.begin(p.M, history)                                           # D21
        epsilon = schedule(e, p.epsilon_first, p.epsilon_last, p.epsilon_episodes)      # D19
        Q.beta = schedule(e, p.beta, p.beta_last, p.beta_episodes)                      # D24
        Q.draw_exploration(draws.exploration)                                           # D26
        for t in range(t_1, p.M):                                                       # A3:3
            F = F + [f(x)]                                                              # D6
            x = x - p.alpha_c * f.gradient(x)                                           # A3:4
            history.add(t, f(x), p.alpha_c, ACCEPT, x=x)                                # log
        x = start.keep(p.M, x, F, history)                                              # D21
        xbar, d, alpha = x, -f.gradient(x), p.alpha_c                                   # A3:5
        seen = f.observe(x, d, d)                                                       # D11
        s_next = state(alpha, p.alpha_c, p.alpha_c, seen, F, p)                         # D11
        memory.begin_episode()                                                          # D17
        for t in range(p.M, p.steps + 1):                                               # A3:6
            s, F, d_before = s_next, F + [f(x)], d                                      # A3:7
            a = Q.act(s, epsilon, draws.exploration)                                    # A3:8
            if a == HALF:                                                               # A3:9
                alpha = alpha / 2                                                       # A3:10
            elif a == ACCEPT:                                                           # A3:11
                xbar, d, alpha = x, -f.gradient(x), p.alpha_c                           # A3:12
            x = xbar + alpha * d                                                        # A3:13
            x = returned(t, x, xbar, f, p)                                              # D10
            seen = f.observe(x, d, d_before)                                            # D9
            s_next = state(alpha, p.alpha_c, p.alpha_c, seen, F, p)                     # A3:14
            end = not math.isfinite(f(x))                                               # D23
            last = t == p.steps and p.horizon != "endless"                              # D27
            over = end or last                                                          # D27
            if end:                                                                     # D23
                r = 0.0                                                                 # D23
            elif a != ACCEPT:                                                           # A3:15
                r = p.c1 / max(f(x) - p.f_lb, p.gap)                                    # A3:16
            elif a == ACCEPT:                                                           # A3:17
                r = p.c2 / max(f(xbar) - p.f_lb, p.gap)                                 # A3:18
            if last and p.horizon == "returned" and not end:                            # D28
                r += p.gamma / (1 - p.gamma) * p.c1 / max(f(x) - p.f_lb, p.gap)         # D28
            memory.add(s, a, r, s_next, Q.label_now(r, s_next, over), over)             # A3:19
            loss = Q.update(memory, memory.sample(p.batch, draws.replay))               # A3:20
            history.add(t, f(x), alpha, a, r, loss, x=x, s=s)                           # log
            if end:                                                                     # D23
                break                                                                   # D23
        history.close(x, memory.end_episode(), epsilon)                                 # log
        yield history                                                                   # log
    return Q.theta                                                                      # A3:21


def q_learning_lambda(g, h, starts, Q, theta_0, memory, p, draws, histories, first=1):
    """Algorithm 4, Q-learning with experience replay for lambda; yields a history per episode.

    m is the measure in the reward: h as in Eq. 8 or, as printed below, g (D14).

    1   theta = theta_0
    2   for e = 1, ..., E
    3       for t = 1, ..., M - 1
    4           x_{t+1} = x_t - alpha grad g_{lambda_c}(x_t)
    5       xbar = x_M, lambda_M = lambda_c, d(xbar) = -grad g_{lambda_M}(x_M)
    6       for t = M, ..., T
    7           generate the state features s_t
    8           choose a_t by the epsilon-greedy policy
    9           if a_t is half
    10              lambda_{t+1} = lambda_t / 2
    11          else if a_t is 1.25
    12              lambda_{t+1} = 1.25 lambda_t
    13          else if a_t is accept
    14              xbar = x_t, d(xbar) = -grad g_{lambda_t}(xbar), lambda_{t+1} = lambda_c
    15          x_{t+1} = xbar + alpha d(xbar)
    16          generate the state features s_{t+1}
    17          if a_t is not accept
    18              r_{t+1} = c_1 / (g_{lambda_t}(x_{t+1}) - g_lb)
    19          else if a_t is accept
    20              r_{t+1} = c_2 / (g_{lambda_t}(xbar) - g_lb)
    21          add the experience (s_t, a_t, r_{t+1}, s_{t+1})^e to the memory
    22          sample S from the memory and update theta by Eq. 10
    23  return theta
    """
    Q.theta = theta_0                                                                   # A4:1
    m = h if p.reward == "error" else g                                                 # D14
    for e in range(first, p.episodes + 1):                                              # A4:2
        history = histories(e)                                                          # log
        start = starts.of(e)                                                            # D21
        x, G, t_1 = start.begin(p.M, history)                                           # D21
        epsilon = schedule(e, p.epsilon_first, p.epsilon_last, p.epsilon_episodes)      # D19
        Q.beta = schedule(e, p.beta, p.beta_last, p.beta_episodes)                      # D24
        Q.draw_exploration(draws.exploration)                                           # D26
        for t in range(t_1, p.M):                                                       # A4:3
            G = G + [g(x, p.lambda_c)]                                                  # D6
            x = x - p.alpha * g.gradient(x, p.lambda_c)                                 # A4:4
            history.add(t, g(x, p.lambda_c), p.lambda_c, ACCEPT, x=x)                   # log
        x = start.keep(p.M, x, G, history)                                              # D21
        xbar, d, lam = x, -g.gradient(x, p.lambda_c), p.lambda_c                        # A4:5
        seen = g.observe(x, d, d, lam)                                                  # D11
        s_next = state(lam, p.lambda_c, p.alpha, seen, G, p)                            # D11
        memory.begin_episode()                                                          # D17
        for t in range(p.M, p.steps + 1):                                               # A4:6
            s, G, d_before = s_next, G + [g(x, lam)], d                                 # A4:7
            a, lam_t = Q.act(s, epsilon, draws.exploration), lam                        # A4:8
            if a == HALF:                                                               # A4:9
                lam = lam / 2                                                           # A4:10
            elif a == RAISE:                                                            # A4:11
                lam = 1.25 * lam                                                        # A4:12
            elif a == ACCEPT:                                                           # A4:13
                xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c                       # A4:14
            x = xbar + p.alpha * d                                                      # A4:15
            x = returned(t, x, xbar, g, p)                                              # D10
            seen = g.observe(x, d, d_before, lam)                                       # D9
            s_next = state(lam, p.lambda_c, p.alpha, seen, G, p)                        # A4:16
            end = not math.isfinite(g(x, lam))                                          # D23
            last = t == p.steps and p.horizon != "endless"                              # D27
            over = end or last                                                          # D27
            if end:                                                                     # D23
                r = 0.0                                                                 # D23
            elif a != ACCEPT:                                                           # A4:17
                r = p.c1 / max(m(x, lam_t) - p.f_lb, p.gap)                             # A4:18
            elif a == ACCEPT:                                                           # A4:19
                r = p.c2 / max(m(xbar, lam_t) - p.f_lb, p.gap)                          # A4:20
            if last and p.horizon == "returned" and not end:                            # D28
                r += p.gamma / (1 - p.gamma) * p.c1 / max(m(x, lam_t) - p.f_lb, p.gap)  # D28
            memory.add(s, a, r, s_next, Q.label_now(r, s_next, over), over)             # A4:21
            loss = Q.update(memory, memory.sample(p.batch, draws.replay))               # A4:22
            history.add(t, g(x, lam), lam, a, r, loss, x=x, s=s)                        # log
            if end:                                                                     # D23
                break                                                                   # D23
        history.close(x, memory.end_episode(), epsilon)                                 # log
        yield history                                                                   # log
    return Q.theta                                                                      # A4:23
