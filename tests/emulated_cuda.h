// What softlab_cli/kernels/geodesic/cuda.cu needs of CUDA, on the processor.
//
// The threads of a group are coroutines that change at barriers, so the kernels are run as
// they are. Between two barriers they run one after the other, in an order that turns
// around every time, which shows where a barrier is missing; a barrier that only some of
// them reach ends the program. Warps have one thread.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <memory>
#include <vector>
#include <ucontext.h>

#define EMULATED
#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __syncthreads() __syncthreads_or(0)

struct int2 { int x, y; };
struct Index { int x; };
static Index threadIdx, blockIdx, blockDim, gridDim;
float cells[1 << 18];
using std::min;

static float __fadd_rn(float a, float b) { return a + b; }
static float __fsub_rn(float a, float b) { return a - b; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fdiv_rn(float a, float b) { return a / b; }
static float __fsqrt_rn(float a) { return std::sqrt(a); }
static float __int_as_float(int bits) { float a; std::memcpy(&a, &bits, 4); return a; }
static int __float_as_int(float a) { int bits; std::memcpy(&bits, &a, 4); return bits; }
static int __ffs(unsigned bits) { return __builtin_ffs(bits); }
static float __ldg(const float *from) { return *from; }
static float __ldcg(const float *from) { return *from; }
static void atomicOr(unsigned *word, unsigned bits) { *word |= bits; }
static void atomicMin(unsigned *word, unsigned bits) { *word = min(*word, bits); }
static int atomicAdd(int *word, int more) { *word += more; return *word - more; }

// Generations of barriers are even or odd; each gathers in its own word.
static int generation, gathered[2];
static ucontext_t scheduler, *running;

static int __syncthreads_or(int bit)
{
    const int mine = generation & 1;
    gathered[mine] |= bit != 0;
    swapcontext(running, &scheduler);
    return gathered[mine];
}

struct Group {
    static constexpr int STACK = 64 * 1024;
    std::vector<ucontext_t> threads;
    std::unique_ptr<char[]> stacks;
    std::vector<char> done;
    void (*body)(void *);
    void *arguments;

    static void enter(unsigned high, unsigned low)
    {
        auto *group = (Group *)((size_t)high << 32 | low);
        group->body(group->arguments);
        group->done[threadIdx.x] = 1;
        swapcontext(&group->threads[threadIdx.x], &scheduler);
    }

    void start(int count)
    {
        threads.resize(count), done.assign(count, 0), generation = 0;
        if (!stacks) stacks.reset(new char[(size_t)STACK * count]);
        for (int i = 0; i < count; i++) {
            getcontext(&threads[i]);
            threads[i].uc_stack.ss_sp = stacks.get() + (size_t)STACK * i;
            threads[i].uc_stack.ss_size = STACK;
            const size_t self = (size_t)this;
            makecontext(&threads[i], (void (*)())enter, 2, (unsigned)(self >> 32), (unsigned)self);
        }
    }

    void run(int count)
    {
        start(count);
        for (int left = count; left > 0; generation++) {
            gathered[generation & 1] = 0;
            for (int k = 0; k < count; k++) {
                const int i = generation & 1 ? count - 1 - k : k;
                if (done[i]) continue;
                threadIdx.x = i, running = &threads[i];
                swapcontext(&scheduler, running);
            }
            left = (int)std::count(done.begin(), done.end(), 0);
            if (left != 0 && left != count) {
                std::fprintf(stderr, "%d of %d threads did not reach a barrier\n", count - left, count);
                std::abort();
            }
        }
    }
};

template <typename... Parameters>
void launch(void (*kernel)(Parameters...), int groups, int threads, Parameters... arguments)
{
    auto call = [=] { kernel(arguments...); };
    Group group;
    group.body = [](void *lambda) { (*(decltype(call) *)lambda)(); };
    group.arguments = &call;
    gridDim.x = groups, blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < groups; blockIdx.x++) group.run(threads);
}
