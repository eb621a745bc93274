"""One hybrid forecast in PyTorch on one thread, as fast as PyTorch does it: first LSTM once, masks of all T passes in one
batch, no gradients.  The same sizes as benches/lstm.rs (48 x 5 -> 64 -> 16, 16 + 105 -> 64 -> 64 -> 22, dropout 0.1).
Needs torch.  OMP_NUM_THREADS=1 python hybrid_forecast.py"""
import statistics
import time

import torch
from torch import nn

torch.set_num_threads(1)
WINDOW, FEATURES, EXTERNAL, RATE = 48, 5, 105, 0.1


class Hybrid(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.LSTM(FEATURES, 64, batch_first=True)
        self.second = nn.LSTM(64, 16, batch_first=True)
        self.m1, self.m2, self.m3 = nn.Linear(16 + EXTERNAL, 64), nn.Linear(64, 64), nn.Linear(64, 22)

    def forward(self, x, external, passes):
        def mask(*shape):
            return (torch.rand(*shape) >= RATE) / (1 - RATE)

        h = self.first(x)[0]                                   # deterministic: once for all passes
        h = self.second(h * mask(passes, 1, 64))[0][:, -1] * mask(passes, 16)
        a = torch.relu(self.m1(torch.cat([h, external.expand(passes, -1)], 1))) * mask(passes, 64)
        return self.m3(torch.relu(self.m2(a)) * mask(passes, 64))


model, x, external = Hybrid().eval(), torch.randn(1, WINDOW, FEATURES), torch.randn(1, EXTERNAL)
with torch.inference_mode():
    for passes in (1, 32, 128):
        times = []
        for _ in range(400):
            start = time.perf_counter()
            model(x, external, passes)
            times.append(time.perf_counter() - start)
        times = times[50:]
        print(f"T = {passes:3}: median {1e3 * statistics.median(times):.3f} ms, least {1e3 * min(times):.3f} ms")
