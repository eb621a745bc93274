"""The hybrid network of examples/function_week.rs trained in PyTorch: the same samples (from the folder that the example
writes), sizes, masks a sequence, losses, optimiser, schedule, clipping, phases and early stopping by validation.  Random
numbers differ.  Needs torch and numpy.  OMP_NUM_THREADS=2 python hybrid_training.py FOLDER [SEED]"""
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
torch.manual_seed(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
FOLDER = Path(sys.argv[1])
WINDOW, AHEAD, PATIENCE = 48, 12, 32
LEVELS = torch.tensor([0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995])
MEDIAN = 4
ENCODER_DROPOUT, PREDICTOR_DROPOUT = 0.05, 0.02
PHASES = [(1, 1 << 15, 128, 2e-3), (3, 1 << 15, 128, 3e-3), (32, 1 << 30, 512, 4e-3)]


class Part:
    def __init__(self, name, steps):
        rows = torch.from_numpy(np.fromfile(FOLDER / f"{name}-samples.f32", "<f4").reshape(SIZES[name], -1))
        self.externals = torch.from_numpy(
            np.fromfile(FOLDER / f"{name}-externals.f32", "<f4").reshape(len(rows), -1))
        self.minutes = rows[:, 0].long()
        self.peak, self.unit, self.weight, self.experts = rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4:]
        self.steps = steps

    def __len__(self):
        return len(self.peak)

    def windows(self, rows):
        return self.steps[self.minutes[rows, None] + torch.arange(-WINDOW, 0)]

    def ahead(self, rows):
        return self.steps[self.minutes[rows, None] + torch.arange(AHEAD), 0]


def mask(rate, *shape):
    """Variational: one mask for all steps of a sequence."""
    return (torch.rand(*shape) >= rate) / (1 - rate)


class Hybrid(nn.Module):
    def __init__(self, externals, outputs):
        super().__init__()
        self.e1, self.e2 = nn.LSTM(5, 64, batch_first=True), nn.LSTM(64, 16, batch_first=True)
        self.m = nn.ModuleList([nn.Linear(16 + externals, 64), nn.Linear(64, 64), nn.Linear(64, outputs)])
        self.d1, self.d2 = nn.LSTM(16, 16, batch_first=True), nn.LSTM(16, 1, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(WINDOW + AHEAD, 32), nn.Linear(32, AHEAD)
        for lstm in (self.e1, self.e2, self.d1, self.d2):
            hidden = lstm.hidden_size
            for parameter in (lstm.bias_ih_l0, lstm.bias_hh_l0):
                nn.init.zeros_(parameter)
            lstm.bias_hh_l0.requires_grad_(False)
            with torch.no_grad():
                lstm.bias_ih_l0[hidden:2 * hidden] = 1.0

    def encode(self, x):
        h = self.e1(x)[0]
        if self.training:
            h = h * mask(ENCODER_DROPOUT, len(x), 1, 64)
        h = self.e2(h)[0]
        return h * mask(ENCODER_DROPOUT, len(x), 1, 16) if self.training else h

    def decode(self, x):
        z = self.encode(x)
        last = x[:, WINDOW - AHEAD:, :1].expand(-1, -1, 16)
        h = self.d1(torch.cat([z, last], 1))[0]
        if self.training:
            h = h * mask(ENCODER_DROPOUT, len(x), 1, 16)
        return self.fc2(self.fc1(self.d2(h)[0][..., 0]))

    def predict(self, latent, external):
        h = torch.cat([latent, external], 1)
        for layer in self.m[:2]:
            h = torch.relu(layer(h))
            if self.training:
                h = h * mask(PREDICTOR_DROPOUT, *h.shape)
        return self.m[2](h)


def quantiles(outputs, part, rows):
    spread, shares = outputs[:, :len(LEVELS)], torch.softmax(outputs[:, len(LEVELS):], 1)
    unit = part.unit[rows, None]
    steps = torch.where(spread > 0, 1 + 2 * spread, (1 - spread.clamp(max=0)) ** -2) * unit
    median = (shares * part.experts[rows]).sum(1, keepdim=True) + spread[:, MEDIAN:MEDIAN + 1] * unit
    above = median + steps[:, MEDIAN + 1:].cumsum(1)
    below = median - steps[:, :MEDIAN].flip(1).cumsum(1).flip(1)
    return torch.cat([below, median, above], 1)


def pinball(outputs, part, rows):
    error = part.peak[rows, None] - quantiles(outputs, part, rows)
    return (torch.maximum(LEVELS * error, (LEVELS - 1) * error).mean(1) * part.weight[rows]).sum()


def squared(model, part, rows):
    x = part.windows(rows)
    return ((model.decode(x) - (part.ahead(rows) - x[:, -1:, 0])) ** 2).mean(1).sum()


def one_cycle(peak, step, total):
    def cosine(share):
        return 0.5 - 0.5 * math.cos(math.pi * min(max(share, 0.0), 1.0))

    progress = step / total
    if progress < 0.3:
        return peak * (0.04 + 0.96 * cosine(progress / 0.3))
    return peak * (1 - cosine((progress - 0.3) / 0.7) * (1 - 1e-4))


def losses(model, phase, latents):
    """The sum of a batch's losses in `phase`, and of the validation samples'."""
    if phase == 0:
        return lambda part, rows: squared(model, part, rows)
    if phase == 1:
        return lambda part, rows: pinball(
            model.predict(model.encode(part.windows(rows))[:, -1], part.externals[rows]), part, rows)
    return lambda part, rows: pinball(model.predict(latents[part][rows], part.externals[rows]), part, rows)


def evaluate(model, part, loss):
    model.eval()
    with torch.no_grad():
        rows = torch.arange(len(part))
        total = sum(loss(part, rows[k:k + 256]).item() for k in range(0, len(part), 256))
    model.train()
    return total / len(part)


SIZES = {name: int(number) for name, number in (line.split() for line in open(FOLDER / "shape.txt"))}
steps = torch.from_numpy(np.fromfile(FOLDER / "steps.f32", "<f4").reshape(-1, 5))
train, valid = Part("train", steps), Part("valid", steps)
model = Hybrid(train.externals.shape[1], len(LEVELS) + train.experts.shape[1])
started, least = time.perf_counter(), math.inf
for phase, (rounds, samples, batch, rate) in enumerate(PHASES):
    latents = {}
    if phase == 2:
        with torch.no_grad():
            for part, mode in ((train, True), (valid, False)):
                model.train(mode)
                chunks = torch.arange(len(part)).split(256)
                latents[part] = torch.cat([model.encode(part.windows(rows))[:, -1] for rows in chunks])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("m."))
        model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser, loss = torch.optim.Adam(parameters), losses(model, phase, latents)
    per_round = max(1, min(samples, len(train)) // batch)
    total, step, stale, best_loss, best = per_round * rounds, 0, 0, math.inf, None
    for round in range(rounds):
        if stale >= PATIENCE:
            break
        order = torch.randperm(len(train))
        for k in range(per_round):
            optimiser.param_groups[0]["lr"] = one_cycle(rate, step, total)
            rows = order[k * batch:(k + 1) * batch]
            optimiser.zero_grad()
            (loss(train, rows) / batch).backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimiser.step()
            step += 1
        validation = evaluate(model, valid, loss)
        print(f"{time.perf_counter() - started:6.2f} s  phase {phase + 1} round {round + 1:2}: validation {validation:.5f}")
        if validation < best_loss:
            best_loss, stale = validation, 0
            best = {name: value.clone() for name, value in model.state_dict().items()}
        else:
            stale += 1
        if phase > 0:
            least = min(least, validation)
    model.load_state_dict(best)
print(f"{time.perf_counter() - started:.2f} s in all, least validation loss {least:.5f}")
