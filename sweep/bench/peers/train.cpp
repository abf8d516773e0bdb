// Training in C++ as one would write it for a cluster: libmvec's exp, full vectors, OpenMP over
// blocks that are compacted as their neurons converge. Built by with_cpp.py with -DSAMPLES and
// -DINPUTS.
#include <algorithm>
#include <cmath>

template <class Real> struct Integer;  // as wide as a Real, so that vectors keep their length
template <> struct Integer<double> { using type = long long; };
template <> struct Integer<float> { using type = int; };

template <bool quadratic, class Real> static inline Real delta(Real a, Real e, Real y) {
    return quadratic ? (a - y) * e * a * a : a - y;
}

constexpr int BLOCK = 2048, EPOCHS_BETWEEN_COMPACTIONS = 16;

// One sample: z is the whole state of a neuron, and falls by kappa * delta.
template <bool quadratic, class Real>
static void one(long size, Real *w, Real *b, Real x, Real y, Real rate, Real tolerance,
                int max_epochs, int *epochs) {
    using Count = typename Integer<Real>::type;
    constexpr int VECTOR = 64 / sizeof(Real);
    const Real kappa = rate * (x * x + 1);
#pragma omp parallel for schedule(dynamic)
    for (long first = 0; first < size; first += BLOCK) {
        alignas(64) Real z[BLOCK];
        alignas(64) Count count[BLOCK];
        int neuron[BLOCK], active = int(std::min<long>(BLOCK, size - first));
        for (int i = 0; i < BLOCK; ++i) {
            z[i] = i < active ? w[first + i] * x + b[first + i] : 0;
            count[i] = 0;
            neuron[i] = i;
        }
        for (int done = 0; active > 0;) {
            const int steps = std::min(EPOCHS_BETWEEN_COMPACTIONS, max_epochs - done);
            const int padded = (active + VECTOR - 1) / VECTOR * VECTOR;  // no scalar remainder
            for (int step = 0; step < steps; ++step) {
#pragma omp simd aligned(z, count : 64)
                for (int i = 0; i < padded; ++i) {
                    const Real e = std::exp(-z[i]);
                    const Real a = 1 / (1 + e);
                    const bool unconverged = std::abs(a - y) > tolerance;
                    z[i] -= unconverged ? kappa * delta<quadratic>(a, e, y) : 0;
                    count[i] += unconverged;
                }
            }
            done += steps;
            int left = 0;
            for (int i = 0; i < active; ++i) {
                if (count[i] == done && done < max_epochs) {
                    z[left] = z[i], count[left] = count[i], neuron[left] = neuron[i];
                    ++left;
                } else {  // (w, b) has moved along (x, 1)
                    const long at = first + neuron[i];
                    const Real moved = (w[at] * x + b[at] - z[i]) / (x * x + 1);
                    w[at] -= moved * x, b[at] -= moved;
                    epochs[at] = int(count[i]);
                }
            }
            active = left;
        }
    }
}

#if SAMPLES > 1
// Many samples, as a matrix product is blocked: z of TILE samples and two vectors of neurons stay in
// registers, so that each parameter is loaded once for all of them; likewise the gradients. Eight
// samples and two vectors are the fastest of 1 to 4 vectors and 4 or 8 samples, and with 30 inputs
// 16 times as fast as the samples one by one.
template <int TILE, class Real> struct Tile {
    typedef Real Vector __attribute__((vector_size(64)));
    static constexpr int WIDTH = 64 / sizeof(Real), LANES = 4 * WIDTH, P = INPUTS + 1;

    static inline void outputs(const Real (*theta)[LANES], const Real *x, Real (*z)[LANES]) {
        for (int i = 0; i < LANES; i += 2 * WIDTH) {
            Vector sum[TILE][2];
            for (int s = 0; s < TILE; ++s)
                for (int v = 0; v < 2; ++v) sum[s][v] = *(Vector *)&theta[INPUTS][i + v * WIDTH];
            for (int j = 0; j < INPUTS; ++j)
                for (int v = 0; v < 2; ++v) {
                    const Vector t = *(Vector *)&theta[j][i + v * WIDTH];
                    for (int s = 0; s < TILE; ++s) sum[s][v] += t * x[s * INPUTS + j];
                }
            for (int s = 0; s < TILE; ++s)
                for (int v = 0; v < 2; ++v) *(Vector *)&z[s][i + v * WIDTH] = sum[s][v];
        }
    }

    static inline void gradients(const Real (*delta)[LANES], const Real *x, Real (*sum)[LANES]) {
        for (int i = 0; i < LANES; i += 2 * WIDTH) {
            Vector d[TILE][2];
            for (int s = 0; s < TILE; ++s)
                for (int v = 0; v < 2; ++v) d[s][v] = *(Vector *)&delta[s][i + v * WIDTH];
            for (int j = 0; j < P; ++j)
                for (int v = 0; v < 2; ++v) {
                    Vector g = *(Vector *)&sum[j][i + v * WIDTH];
                    for (int s = 0; s < TILE; ++s)
                        g += d[s][v] * (j < INPUTS ? x[s * INPUTS + j] : 1);
                    *(Vector *)&sum[j][i + v * WIDTH] = g;
                }
        }
    }
};

template <bool quadratic, class Real>
static void many(long size, Real *w, Real *b, const Real *x, const Real *y, Real rate,
                 Real tolerance, int max_epochs, int *epochs) {
    using Count = typename Integer<Real>::type;
    using Eight = Tile<8, Real>;
    using One = Tile<1, Real>;
    constexpr int LANES = Eight::LANES, P = INPUTS + 1, CHUNK = SAMPLES < 32 ? SAMPLES : 32;
    const Real step = rate / SAMPLES;
#pragma omp parallel for schedule(dynamic)
    for (long first = 0; first < size; first += LANES) {
        alignas(64) Real theta[P][LANES], gradient[P][LANES], error[LANES], z[CHUNK][LANES];
        alignas(64) Count count[LANES];
        const int lanes = int(std::min<long>(LANES, size - first));
        for (int i = 0; i < LANES; ++i) {
            const long at = first + std::min(i, lanes - 1);
            for (int j = 0; j < INPUTS; ++j) theta[j][i] = w[at * INPUTS + j];
            theta[INPUTS][i] = b[at];
            count[i] = 0;
        }
        int working = lanes;
        for (int epoch = 0; epoch < max_epochs && working > 0; ++epoch) {
            for (int i = 0; i < LANES; ++i) error[i] = 0;
            for (int j = 0; j < P; ++j)
                for (int i = 0; i < LANES; ++i) gradient[j][i] = 0;
            for (int begin = 0; begin < SAMPLES; begin += CHUNK) {
                const int m = std::min(CHUNK, SAMPLES - begin), tiled = m / 8 * 8;
                const Real *x_chunk = x + begin * INPUTS;
                for (int s = 0; s < tiled; s += 8)
                    Eight::outputs(theta, x_chunk + s * INPUTS, z + s);
                for (int s = tiled; s < m; ++s) One::outputs(theta, x_chunk + s * INPUTS, z + s);
                for (int s = 0; s < m; ++s) {
                    const Real target = y[begin + s];
#pragma omp simd
                    for (int i = 0; i < LANES; ++i) {
                        const Real e = std::exp(-z[s][i]);
                        const Real a = 1 / (1 + e);
                        error[i] += std::abs(a - target);
                        z[s][i] = delta<quadratic>(a, e, target);
                    }
                }
                for (int s = 0; s < tiled; s += 8)
                    Eight::gradients(z + s, x_chunk + s * INPUTS, gradient);
                for (int s = tiled; s < m; ++s)
                    One::gradients(z + s, x_chunk + s * INPUTS, gradient);
            }
            working = 0;
#pragma omp simd reduction(+ : working)
            for (int i = 0; i < LANES; ++i) {
                const bool unconverged = error[i] > tolerance * SAMPLES;
                for (int j = 0; j < P; ++j) theta[j][i] -= unconverged ? step * gradient[j][i] : 0;
                count[i] += unconverged;
                working += unconverged;
            }
        }
        for (int i = 0; i < lanes; ++i) {
            for (int j = 0; j < INPUTS; ++j) w[(first + i) * INPUTS + j] = theta[j][i];
            b[first + i] = theta[INPUTS][i];
            epochs[first + i] = int(count[i]);
        }
    }
}
#define TRAIN(quadratic, Real)                                                                   \
    many<quadratic, Real>(size, w, b, x, y, rate, tolerance, max_epochs, epochs)
#else
#define TRAIN(quadratic, Real)                                                                   \
    one<quadratic, Real>(size, w, b, x[0], y[0], rate, tolerance, max_epochs, epochs)
#endif

#define EXPORT(name, quadratic, Real)                                                            \
    extern "C" void name(long size, Real *w, Real *b, const Real *x, const Real *y, Real rate,   \
                         Real tolerance, int max_epochs, int *epochs) {                          \
        TRAIN(quadratic, Real);                                                                  \
    }
EXPORT(quadratic_float64, true, double)
EXPORT(quadratic_float32, true, float)
EXPORT(cross_entropy_float64, false, double)
EXPORT(cross_entropy_float32, false, float)
