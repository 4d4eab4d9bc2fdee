"""Algorithms 1 to 4 of the paper, one function each.

The right margin, read downwards, is the paper's algorithm (A3:12 is line 12 of Algorithm 3). Lines
without a printed line are ours: D7 is a decision (README.md beside this file), log keeps numbers
and changes nothing; any callable will do.

f(x) is the objective, f.gradient(x) its gradient, g the same with a lambda, m what the reward of
Algorithm 4 looks at: the validation error h (Eq. 8) or g as printed (D14). p holds the parameters
of config.py. Algorithms 1 and 2 return x*; 3 and 4 hand over each episode's x* as it ends.
"""

import math

from .environment import ACCEPT, HALF, RAISE, Features, descent, ending, remembered, returned


@remembered
def plain_steps_alpha(f, x, p, first, log):
    """Lines 3 and 4 of Algorithm 3; 1 takes them too (D22). Returns x_t, d_{t-1}, F, t."""
    F, d = [], None                                                 # D6, D11
    for t in range(1, first):                                       # A3:3     for t = 1, ..., M−1 do
        F, d = F + [f(x)], descent(f, x, d, p)                      # D6, D11, D36
        x = x + p.alpha_c * d                                       # A3:4       x_{t+1} = x_t − α_c ∇f(x_t)
        log(t, x, p.alpha_c, ACCEPT)                                # log
    return x, d, F, first                                           # D6, D11, D18


@remembered
def plain_steps_lambda(g, x, p, first, log, m):
    """Lines 3 and 4 of Algorithm 4; 2 takes them too (D22). Returns x_t, d_{t-1}, G, t."""
    G, d = [], None                                                 # D6, D11
    for t in range(1, first):                                       # A4:3     for t = 1, ..., M−1 do
        G, d = G + [(m if p.sees == "h" else g)(x, p.lambda_c)], -g.gradient(x, p.lambda_c)  # D6, D11, D46
        x = x + p.alpha * d                                         # A4:4       x_{t+1} = x_t − α ∇g_{λ_c}(x_t)
        log(t, x, p.lambda_c, ACCEPT)                               # log
    return x, d, G, first                                           # D6, D11, D18


def q_gradient_descent_alpha(f, x_1, Q, p, log):
    """Algorithm 1, Q-gradient descent for the learning rate. Returns x* (D10)."""
    x, d, F, t_1 = plain_steps_alpha(f, x_1, p, p.asked_from(1), log)  # D18, D22
    features = Features(f, F, d, p.alpha_c, p.alpha_c, p)           # D6, D8, D11
    xbar, d, alpha = x, descent(f, x, d, p), p.alpha_c              # A1:1   x̄ = x_1, d(x̄) = −∇f(x_1), α_1 = α_c
    for t in range(t_1, p.steps + 1):                               # A1:2   for t = 1, ..., T do
        s = features(x, d, alpha)                                   # A1:3     compute state feature vector s_t
        a = Q.greedy(s)                                             # A1:4     a_t = argmax_a [Q(s_t; θ)]_a
        if a == ACCEPT and features.gradients == p.gradients:       # D37
            break                                                   # D37
        if a == HALF:                                               # A1:5     if a_t = a_half then
            alpha = alpha / 2                                       # A1:6       α_{t+1} = ½ α_t
        elif a == ACCEPT:                                           # A1:7     else if a_t = a_accept then
            xbar, d, alpha = x, descent(f, x, d, p), p.alpha_c      # A1:8       x̄ = x_t, d(x̄) = −∇f(x̄), α_{t+1} = α_c
        x = xbar + alpha * d                                        # A1:9     x_{t+1} = x̄ + α_{t+1} d(x̄)
        log(t, x, alpha, a, s=s)                                    # log
        if not math.isfinite(f(x)):                                 # D23
            break                                                   # D23
    x_star = returned(features, x, xbar, f, p)                      # D10
    return x_star                                                   # A1:10  return x* = x_T


def q_gradient_descent_lambda(g, m, x_1, Q, p, log):
    """Algorithm 2, Q-gradient descent for the regularization coefficient. Returns x* (D10)."""
    x, d_before, G, t_1 = plain_steps_lambda(g, x_1, p, p.asked_from(1), log, m)  # D18, D22
    features = Features(g, G, d_before, p.lambda_c, p.alpha, p, m)  # D6, D8, D11
    xbar, d, lam = x, -g.gradient(x, p.lambda_c), p.lambda_c        # A2:1   x̄ = x_1, d(x̄) = −∇g_λ(x_1), λ_1 = λ_c
    for t in range(t_1, p.steps + 1):                               # A2:2   for t = 1, ..., T do
        s = features(x, d, lam=lam)                                 # A2:3     compute state feature vector s_t
        a = Q.greedy(s)                                             # A2:4     a_t = argmax_a [Q(s_t; θ)]_a
        if a == HALF:                                               # A2:5     if a_t = a_half then
            lam = lam / 2                                           # A2:6       λ_{t+1} = ½ λ_t
        elif a == RAISE:                                            # A2:7     else if a_t = a_1.25 then
            lam = 1.25 * lam                                        # A2:8       λ_{t+1} = 1.25 λ_t
        elif a == ACCEPT:                                           # A2:9     else if a_t = a_accept then
            xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c       # A2:10      x̄ = x_t, d(x̄) = −∇g_{λ_t}(x̄), λ_{t+1} = λ_c
        x = xbar + p.alpha * d                                      # A2:11    x_{t+1} = x̄ + α d(x̄)
        log(t, x, lam, a, s=s)                                      # log
        if not math.isfinite(g(x)):                                 # D23
            break                                                   # D23
    x_star = returned(features, x, xbar, g, p)                      # D10
    return x_star                                                   # A2:12  return x* = x_T


def q_learning_alpha(episode, Q, theta_0, memory, p, logs, e_1=1):
    """Algorithm 3, Q-learning with experience replay. episode(e) gives f, x_1 and p (D21)."""
    Q.theta = theta_0                                               # A3:1   θ = θ_0
    for e in range(e_1, p.episodes + 1):                            # A3:2   for e = 1, ..., E do
        f, x_1, p = episode(e)                                      # D21
        log = logs(e)                                               # log
        Q.new_episode(e)                                            # D19, D24, D26
        x, d, F, t_1 = plain_steps_alpha(f, x_1, p, p.asked_from(p.M), log)  # lines 3 and 4 stand there
        features = Features(f, F, d, p.alpha_c, p.alpha_c, p)  # D6, D8, D11
        xbar, d, alpha = x, descent(f, x, d, p), p.alpha_c          # A3:5     x̄ = x_M, d(x̄) = −∇f(x_M), α_M = α_c
        s_next = features(x, d, alpha)                              # D11
        for t in range(t_1, p.steps + 1):                           # A3:6     for t = M, ..., T do
            s = s_next                                              # A3:7       generate state feature vector s_t
            unit = f(xbar) if p.unit == "base" else 1.0             # D39
            a = Q.act(s)                                            # A3:8       choose a_t by the ε-greedy policy
            if a == ACCEPT and features.gradients == p.gradients:   # D37
                break                                               # D37
            if a == HALF:                                           # A3:9       if a_t = a_half then
                alpha = alpha / 2                                   # A3:10        α_{t+1} = ½ α_t
            elif a == ACCEPT:                                       # A3:11      else if a_t = a_accept then
                xbar, d, alpha = x, descent(f, x, d, p), p.alpha_c  # A3:12        x̄ = x_t, d(x̄) = −∇f(x̄), α_{t+1} = α_c
            x = xbar + alpha * d                                    # A3:13      x_{t+1} = x̄ + α_{t+1} d(x̄)
            x_star = returned(features, x, xbar, f, p)              # D10
            s_next = features(x, d, alpha)                          # A3:14      generate state feature vector s_{t+1}
            if a != ACCEPT:                                         # A3:15      if a_t ≠ a_accept then
                r = p.c1 / max(f(x) / unit - p.f_lb, p.gap)         # A3:16        r_{t+1} = c_1 / (f(x_{t+1}) − f_lb)
            elif a == ACCEPT:                                       # A3:17      else if a_t = a_accept then
                r = p.c2 / max(f(xbar) / unit - p.f_lb, p.gap)      # A3:18        r_{t+1} = c_2 / (f(x̄) − f_lb)
            r, over = ending(t, r, f(x), f(x_star) / unit, p)       # D23, D27, D28
            memory.add(e, s, a, r, s_next, over)                    # A3:19      add (s_t, a_t, r_{t+1}, s_{t+1})^e to E
            loss = Q.update(memory, memory.sample(p.batch))         # A3:20      sample S ∈ E, update θ via Eq. 10
            log(t, x, alpha, a, r, loss, s)                         # log
            if not math.isfinite(f(x)):                             # D23
                break                                               # D23
        yield x_star                                                # D10
    return Q.theta                                                  # A3:21  return θ


def q_learning_lambda(episode, Q, theta_0, memory, p, logs, e_1=1):
    """Algorithm 4, the same for the regularization coefficient. episode(e): g, m, x_1 and p."""
    Q.theta = theta_0                                               # A4:1   θ = θ_0
    for e in range(e_1, p.episodes + 1):                            # A4:2   for e = 1, ..., E do
        g, m, x_1, p = episode(e)                                   # D21
        log = logs(e)                                               # log
        Q.new_episode(e)                                            # D19, D24, D26
        x, d_before, G, t_1 = plain_steps_lambda(g, x_1, p, p.asked_from(p.M), log, m)  # lines 3 and 4 stand there
        features = Features(g, G, d_before, p.lambda_c, p.alpha, p, m)  # D6, D8, D11
        xbar, d, lam = x, -g.gradient(x, p.lambda_c), p.lambda_c    # A4:5     x̄ = x_M, d(x̄) = −∇g_{λ_M}(x_M), λ_M = λ_c
        s_next = features(x, d, lam=lam)                            # D11
        for t in range(t_1, p.steps + 1):                           # A4:6     for t = M, ..., T do
            s = s_next                                              # A4:7       generate state feature vector s_t
            a, lam_t = Q.act(s), lam                                # A4:8       choose a_t by the ε-greedy policy
            if a == HALF:                                           # A4:9       if a_t = a_half then
                lam = lam / 2                                       # A4:10        λ_{t+1} = ½ λ_t
            elif a == RAISE:                                        # A4:11      else if a_t = a_1.25 then
                lam = 1.25 * lam                                    # A4:12        λ_{t+1} = 1.25 λ_t
            elif a == ACCEPT:                                       # A4:13      else if a_t = a_accept then
                xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c   # A4:14        x̄ = x_t, d(x̄) = −∇g_{λ_t}(x̄), λ_{t+1} = λ_c
            x = xbar + p.alpha * d                                  # A4:15      x_{t+1} = x̄ + α d(x̄)
            x_star = returned(features, x, xbar, g, p)              # D10
            s_next = features(x, d, lam=lam)                        # A4:16      generate state feature vector s_{t+1}
            if a != ACCEPT:                                         # A4:17      if a_t ≠ a_accept then
                r = p.c1 / max(m(x, lam_t) - p.f_lb, p.gap)         # A4:18        r_{t+1} = c_1 / (g_{λ_t}(x_{t+1}) − g_lb)
            elif a == ACCEPT:                                       # A4:19      else if a_t = a_accept then
                r = p.c2 / max(m(xbar, lam_t) - p.f_lb, p.gap)      # A4:20        r_{t+1} = c_2 / (g_{λ_t}(x̄) − g_lb)
            r, over = ending(t, r, g(x, lam), m(x_star, lam_t), p)  # D23, D27, D28
            memory.add(e, s, a, r, s_next, over)                    # A4:21      add (s_t, a_t, r_{t+1}, s_{t+1})^e to E
            loss = Q.update(memory, memory.sample(p.batch))         # A4:22      sample S ∈ E, update θ via Eq. 10
            log(t, x, lam, a, r, loss, s)                           # log
            if not math.isfinite(g(x, lam)):                        # D23
                break                                               # D23
        yield x_star                                                # D10
    return Q.theta                                                  # A4:23  return θ
