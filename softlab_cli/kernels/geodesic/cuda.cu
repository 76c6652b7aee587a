// Geodesic distance: blocks of the volume, relaxed until none changes.
//
// A cube of voxels, a block, lies with a halo of one voxel in the shared memory of one
// group of threads. They relax it along its six directions until nothing in it falls,
// write what fell, and mark the neighbouring blocks whose halo holds a voxel that fell.
// Marked blocks of all classes are relaxed together, launch after launch, until none is
// marked.
//
// Which of them: of each class those whose news is nearest to its seeds, up to a band, so
// that less is relaxed that will fall again; and those of one of the two colours of a
// chessboard, so that no block is relaxed beside a face that is about to fall.
//
// Why the bits are always the same: a distance is only ever replaced by a lower one that
// some path has, rounded addition is monotone and no cost is negative, so all that the
// distances can come to rest at is the one state that no step improves. The order of the
// blocks, and whether a halo was read before or after its owner lowered it (the owner then
// marks this block again), change the way there and not the end. Sums and products are
// the round-to-nearest intrinsics, which no compiler fuses.
//
// Most of a block has come to rest when it is visited again, so a sweep goes on only from
// planes that hold something new: a bit for every plane and direction says which, and a
// mark says on which side of the block the neighbour fell.
//
// The including program defines SIDE (voxels along an edge of a block), CHANNELS, and as
// 0 or 1 EUCLIDEAN (several channels differ by their L2 norm, else by L1) and LINEAR (the
// cost is linear in the difference); see StepCost.

static_assert(2 <= SIDE && SIDE <= 16, "the places along two axes share a word");

constexpr int EDGE = SIDE + 2;
// With two cells between planes, no two threads of a warp that step along Z or Y want
// different cells of one bank; along X two do, however the cube is laid out.
constexpr int PLANE = EDGE * EDGE + (SIDE == 16 ? 2 : 0);
constexpr int CELLS = EDGE * PLANE;

constexpr int WARP = 32;
constexpr int THREADS = (SIDE * SIDE + WARP - 1) / WARP * WARP;

constexpr int Z = 0, Y = 1, X = 2;
constexpr int STEPS = 27, HERE = 13;  // a table of 3 x 3 x 3 steps, and (0, 0, 0) in it
constexpr unsigned PLANES = (1u << EDGE) - 1;
constexpr unsigned WHOLE = 1u << 6;  // mark of a block that has never been relaxed
constexpr unsigned NO_NEWS = 0x7f800000;  // bits of infinity; those of floats order like them

#define UNREACHED __int_as_float(NO_NEWS)

// Steps of one kind (straight, aside along either axis, or both) cost the same.
struct Costs {
    float a[4], b[4];
};

struct Volume {
    int depth, height, width;
};

// What a group of threads shares. `fresh` gathers bits of all of them; `news` is, of each of
// the 27 blocks around, the least distance that fell in its halo, as bits.
struct Cube {
    float *distance, *image;
    unsigned *fresh, *news;
};

// Of each block, what the next launches have to relax.
struct Marks {
    unsigned *sides;  // of the halo that hold news, or WHOLE
    unsigned *keys;   // least distance among the news, as bits
};

// What has fallen, as bits of planes along each axis; the same in all threads.
struct State {
    unsigned due[3][2];   // not yet carried on towards the far side, and the near one
    unsigned touched[3];  // since the block was loaded
};

// The place of a thread in a plane of the block.
struct Place {
    int v, u;
    bool inside;
};

__device__ constexpr int stride(int axis) { return axis == Z ? PLANE : axis == Y ? EDGE : 1; }
__device__ constexpr int kind(int axis) { return axis == Z ? 9 : axis == Y ? 3 : 1; }
__device__ constexpr int across(int axis) { return axis == Z ? Y : Z; }
__device__ constexpr int along(int axis) { return axis == X ? Y : X; }

__device__ __forceinline__ float difference(const float *image, int here, int there)
{
    if (CHANNELS == 1) return fabsf(__fsub_rn(image[here], image[there]));
    float total = 0;
    for (int c = 0; c < CHANNELS; c++) {
        const float gap = __fsub_rn(image[c * CELLS + here], image[c * CELLS + there]);
        total = __fadd_rn(total, EUCLIDEAN ? __fmul_rn(gap, gap) : fabsf(gap));
    }
    return EUCLIDEAN ? __fsqrt_rn(total) : total;
}

__device__ __forceinline__ float cost(float difference, float a, float b, const float *shares)
{
    if (LINEAR) return __fadd_rn(__fmul_rn(a, difference), b);
    const float t = __fadd_rn(difference, 1e-5f);
    return __fdiv_rn(__fmul_rn(a, t), __fadd_rn(__fmul_rn(shares[0], t), shares[1]));
}

// Relax a cell through the nine in the plane before; whether it fell.
template <int ONWARD, int ACROSS, int ALONG>
__device__ __forceinline__ bool relax(
    const Cube &cube, int here, const Costs &costs, const float *shares)
{
    const float before = cube.distance[here];
    float lowest = before;
#pragma unroll
    for (int v = -1; v <= 1; v++) {
#pragma unroll
        for (int u = -1; u <= 1; u++) {
            const int there = here - ONWARD + v * ACROSS + u * ALONG;
            const int i = (v != 0) * 2 + (u != 0);
            const float gap = difference(cube.image, here, there);
            const float step = cost(gap, costs.a[i], costs.b[i], shares);
            lowest = fminf(lowest, __fadd_rn(cube.distance[there], step));
        }
    }
    if (lowest < before) cube.distance[here] = lowest;
    return lowest < before;
}

template <int AXIS>
__device__ __forceinline__ Costs costs_of(const float *steps)
{
    Costs costs;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int v = kind(across(AXIS)) * (i >> 1), u = kind(along(AXIS)) * (i & 1);
        costs.a[i] = steps[HERE + kind(AXIS) + v + u];
        costs.b[i] = steps[STEPS + HERE + kind(AXIS) + v + u];
    }
    return costs;
}

// OR of what all threads of the warp have.
__device__ __forceinline__ unsigned warp_or(unsigned bits)
{
#ifndef EMULATED
#pragma unroll
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
        bits |= __shfl_xor_sync(0xffffffffu, bits, lanes);
#endif
    return bits;
}

// OR of what all threads of the group have, through a word that is 0 before and after.
__device__ __forceinline__ unsigned group_or(unsigned bits, unsigned *word)
{
    bits = warp_or(bits);
#ifndef EMULATED
    if (threadIdx.x % WARP == 0)
#endif
        if (bits) atomicOr(word, bits);
    __syncthreads();
    bits = *word;
    __syncthreads();
    if (threadIdx.x == 0) *word = 0;  // the next use has a barrier before it
    return bits;
}

// Carry on along an axis what has fallen, plane after plane; `extent` planes are in the volume.
template <int AXIS, int SIGN>
__device__ __forceinline__ void sweep(
    const Cube &cube, State &state, const Place &place, int extent, const float *steps)
{
    constexpr int ONWARD = stride(AXIS), ACROSS = stride(across(AXIS)), ALONG = stride(along(AXIS));
    unsigned due = state.due[AXIS][SIGN < 0], fell = 0;
    state.due[AXIS][SIGN < 0] = 0;
    if (due == 0) return;
    const Costs costs = costs_of<AXIS>(steps);
    const int first = (place.v + 1) * ACROSS + (place.u + 1) * ALONG;
    bool lowered = false;
    for (int i = 1; i <= extent; i++) {
        const int plane = SIGN > 0 ? i : extent + 1 - i;
        if (!(due >> (plane - SIGN) & 1)) continue;
        const bool falls = place.inside
            && relax<SIGN * ONWARD, ACROSS, ALONG>(
                cube, first + plane * ONWARD, costs, steps + 2 * STEPS);
        lowered |= falls;
        if (__syncthreads_or(falls)) {
            due |= 1u << plane;
            fell |= 1u << plane;
        }
    }
    if (fell == 0) return;
    const unsigned bits = lowered ? 1u << place.v | 1u << (16 + place.u) : 0;
    const unsigned fresh = group_or(bits, cube.fresh);
    const unsigned beside[3] = {fell, (fresh & 0xffff) << 1, fresh >> 16 << 1};
    const int axes[3] = {AXIS, across(AXIS), along(AXIS)};
#pragma unroll
    for (int i = 0; i < 3; i++) {
        state.touched[axes[i]] |= beside[i];
        if (i > 0 || SIGN < 0) state.due[axes[i]][0] |= beside[i];
        if (i > 0 || SIGN > 0) state.due[axes[i]][1] |= beside[i];
    }
}

__device__ __forceinline__ Place place_in(const Place &thread, int height, int width)
{
    return {thread.v, thread.u, thread.inside && thread.v < height && thread.u < width};
}

// Sweep there and back along all axes until nothing is left to carry on.
__device__ __forceinline__ void settle(
    const Cube &cube, State &state, const Place &thread, const Volume &extent, const float *steps)
{
    const Place in_z = place_in(thread, extent.height, extent.width);
    const Place in_y = place_in(thread, extent.depth, extent.width);
    const Place in_x = place_in(thread, extent.depth, extent.height);
    unsigned left;
    do {
        sweep<Z, 1>(cube, state, in_z, extent.depth, steps);
        sweep<Z, -1>(cube, state, in_z, extent.depth, steps);
        sweep<Y, 1>(cube, state, in_y, extent.height, steps);
        sweep<Y, -1>(cube, state, in_y, extent.height, steps);
        sweep<X, 1>(cube, state, in_x, extent.width, steps);
        sweep<X, -1>(cube, state, in_x, extent.width, steps);
        left = 0;
#pragma unroll
        for (int axis = 0; axis < 3; axis++) left |= state.due[axis][0] | state.due[axis][1];
    } while (left);
}

__device__ __forceinline__ bool lies_in(int z, int y, int x, const Volume &volume)
{
    return 0 <= z && z < volume.depth && 0 <= y && y < volume.height && 0 <= x && x < volume.width;
}

__device__ __forceinline__ long long size_of(const Volume &volume)
{
    return (long long)volume.depth * volume.height * volume.width;
}

// Copy one voxel; what lies outside the volume is never reached.
__device__ __forceinline__ void load_cell(
    const Cube &cube, int cell, long long from, bool inside, const float *image,
    const float *distance, long long voxels)
{
    // Other groups may write this distance now: it is read past the multiprocessor's cache.
    cube.distance[cell] = inside ? __ldcg(distance + from) : UNREACHED;
#pragma unroll
    for (int c = 0; c < CHANNELS; c++)
        cube.image[c * CELLS + cell] = inside ? __ldg(image + c * voxels + from) : 0;
}

// Copy the block with its halo: each thread a column along Z, then the rims of the planes.
__device__ __forceinline__ void load(
    const Cube &cube, const Place &thread, const Volume &start, const Volume &volume,
    const float *image, const float *distance)
{
    const long long voxels = size_of(volume), area = (long long)volume.height * volume.width;
    const int z = start.depth - 1, y = start.height + thread.v, x = start.width + thread.u;
    const bool beside = thread.inside && y < volume.height && x < volume.width;
    const long long first = z * area + (long long)y * volume.width + x;
    if (thread.inside) {
#pragma unroll 6
        for (int p = 0; p < EDGE; p++)
            load_cell(
                cube, p * PLANE + (thread.v + 1) * EDGE + thread.u + 1, first + p * area,
                beside && 0 <= z + p && z + p < volume.depth, image, distance, voxels);
    }
    constexpr int RIM = 4 * SIDE + 4;
    for (int i = threadIdx.x; i < EDGE * RIM; i += THREADS) {
        const int p = i / RIM, j = i % RIM, k = j - 2 * EDGE;
        const int v = j < EDGE ? 0 : k < 0 ? EDGE - 1 : k / 2 + 1;
        const int u = j < EDGE ? j : k < 0 ? j - EDGE : k % 2 * (EDGE - 1);
        const int row = start.height + v - 1, column = start.width + u - 1;
        load_cell(
            cube, p * PLANE + v * EDGE + u,
            (z + p) * area + (long long)row * volume.width + column,
            lies_in(z + p, row, column, volume), image, distance, voxels);
    }
}

// What a mark says is new: all, or what lies on sides of the block's halo.
__device__ __forceinline__ State state_of(unsigned mark)
{
    State state;
#pragma unroll
    for (int axis = 0; axis < 3; axis++) {
        state.due[axis][0] = mark & WHOLE ? PLANES : mark >> 2 * axis & 1;
        state.due[axis][1] = mark & WHOLE ? PLANES : (mark >> (2 * axis + 1) & 1) << (EDGE - 1);
        state.touched[axis] = 0;
    }
    return state;
}

// Of the 27 blocks around and with this one, those that see a voxel at a place along an axis:
// of three with their bits `apart`, the own one, and at the block's end the next.
__device__ __forceinline__ unsigned seeing(int place, unsigned bits, int apart)
{
    return bits << apart | (place == 0 ? bits : 0) | (place == SIDE - 1 ? bits << 2 * apart : 0);
}

__device__ __forceinline__ unsigned seeing_z(int place) { return seeing(place, 0x1ff, 9); }
__device__ __forceinline__ unsigned seeing_y(int place) { return seeing(place, 0x1c0e07, 3); }
__device__ __forceinline__ unsigned seeing_x(int place) { return seeing(place, 0x1249249, 1); }

// The mark that the block at one of the 27 places gets: on which side of it this one lies.
__device__ __forceinline__ unsigned mark_of(int dz, int dy, int dx)
{
    if (dz) return dz > 0 ? 1u << 0 : 1u << 1;
    if (dy) return dy > 0 ? 1u << 2 : 1u << 3;
    return dx > 0 ? 1u << 4 : 1u << 5;
}

__device__ __forceinline__ int index_of(int z, int y, int x, const Volume &volume)
{
    return (z * volume.height + y) * volume.width + x;
}

__device__ __forceinline__ void mark_one(
    const Marks &marks, const Volume &blocks, const Volume &block, int neighbour, unsigned key)
{
    const int dz = neighbour / 9 - 1, dy = neighbour / 3 % 3 - 1, dx = neighbour % 3 - 1;
    const int z = block.depth + dz, y = block.height + dy, x = block.width + dx;
    if (!lies_in(z, y, x, blocks)) return;
    const int i = index_of(z, y, x, blocks);
    atomicOr(marks.sides + i, neighbour == HERE ? WHOLE : mark_of(dz, dy, dx));
    atomicMin(marks.keys + i, key);
}

// Least of what all threads say; most of them find that they need not.
__device__ __forceinline__ void lower(unsigned *word, unsigned bits)
{
    if (bits < *(volatile unsigned *)word) atomicMin(word, bits);
}

// Write the distances that fell, and tell which blocks around they matter to.
__device__ __forceinline__ void store(
    const Cube &cube, const State &state, const Place &in_z, const Volume &start,
    const Volume &volume, float *distance)
{
    if (!in_z.inside) return;
    const unsigned beside = seeing_y(in_z.v) & seeing_x(in_z.u);
    const long long area = (long long)volume.height * volume.width;
    float *column = distance + start.depth * area
        + (long long)(start.height + in_z.v) * volume.width + start.width + in_z.u;
#pragma unroll 4
    for (int p = 0; p < SIDE; p++) {
        if (!(state.touched[Z] >> (p + 1) & 1)) continue;
        const float lowest = cube.distance[(p + 1) * PLANE + (in_z.v + 1) * EDGE + in_z.u + 1];
        if (!(lowest < column[p * area])) continue;
        column[p * area] = lowest;
        unsigned around = seeing_z(p) & beside & ~(1u << HERE);
        for (; around; around &= around - 1)
            lower(cube.news + __ffs(around) - 1, __float_as_int(lowest));
    }
}

__device__ __forceinline__ Place place_of_thread()
{
    const int i = threadIdx.x;
    // Eight rows apart, two rows of a plane lie in different halves of the banks.
    if (SIDE == 16) return {i / WARP + i % WARP / 16 * 8, i % 16, true};
    return {i / SIDE, i % SIDE, i < SIDE * SIDE};
}

__device__ __forceinline__ Volume blocks_of(const Volume &volume)
{
    return {(volume.depth + SIDE - 1) / SIDE, (volume.height + SIDE - 1) / SIDE,
            (volume.width + SIDE - 1) / SIDE};
}

__device__ __forceinline__ Volume extent_of(const Volume &start, const Volume &volume)
{
    return {min(SIDE, volume.depth - start.depth), min(SIDE, volume.height - start.height),
            min(SIDE, volume.width - start.width)};
}

// Relax one listed block for each group of THREADS threads.
//
// listed     places of blocks in (classes, Z, Y, X) of blocks, and which sides hold news
// image      (CHANNELS, Z, Y, X)
// distances  (classes, Z, Y, X), lowered in place
// sides, keys  (classes, Z, Y, X) of blocks, see Marks
// steps      numbers a of the 27 steps, numbers b, and 1 - w and w; see StepCost
extern "C" __global__ void __launch_bounds__(THREADS) relax_blocks(
    const int2 *listed, const float *image, float *distances, unsigned *sides, unsigned *keys,
    const float *steps, int depth, int height, int width)
{
    extern __shared__ float cells[];
    unsigned *words = (unsigned *)(cells + (CHANNELS + 1) * CELLS);
    const Cube cube = {cells, cells + CELLS, words, words + 1};
    const Volume volume = {depth, height, width}, blocks = blocks_of(volume);
    const int2 item = listed[blockIdx.x];
    const int count = (int)size_of(blocks), which = item.x / count, rest = item.x % count;
    const Volume block = {rest / (blocks.height * blocks.width),
                          rest / blocks.width % blocks.height, rest % blocks.width};
    const Volume start = {block.depth * SIDE, block.height * SIDE, block.width * SIDE};
    const Volume extent = extent_of(start, volume);
    float *distance = distances + which * size_of(volume);
    const Place thread = place_of_thread();
    for (int i = threadIdx.x; i <= STEPS; i += THREADS) words[i] = i == 0 ? 0 : NO_NEWS;
    load(cube, thread, start, volume, image, distance);
    __syncthreads();
    State state = state_of(item.y);
    settle(cube, state, thread, extent, steps);
    if (!state.touched[Z]) return;
    const Place in_z = place_in(thread, extent.height, extent.width);
    store(cube, state, in_z, start, volume, distance);
    __syncthreads();
    const long long before = (long long)which * count;
    for (int i = threadIdx.x; i < STEPS; i += THREADS)
        if (cube.news[i] != NO_NEWS)
            mark_one({sides + before, keys + before}, blocks, block, i, cube.news[i]);
}

// Nothing is reached; also for keys.
extern "C" __global__ void clear(float *distances, long long size)
{
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += threads)
        distances[i] = UNREACHED;
}

// Set the distance of one class's seeds to 0, and mark every block that sees one.
extern "C" __global__ void place_seeds(
    const long long *seeds, long long size, float *distance, unsigned *sides, unsigned *keys,
    int depth, int height, int width)
{
    const Volume blocks = blocks_of({depth, height, width});
    const long long threads = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += threads) {
        const long long row = seeds[i] / width;
        const int z = (int)(row / height), y = (int)(row % height), x = (int)(seeds[i] % width);
        const Volume block = {z / SIDE, y / SIDE, x / SIDE};
        distance[seeds[i]] = 0;
        const unsigned around = seeing_z(z % SIDE) & seeing_y(y % SIDE) & seeing_x(x % SIDE);
        for (int k = 0; k < STEPS; k++)
            if (around >> k & 1) mark_one({sides, keys}, blocks, block, k, 0);
    }
}

__device__ __forceinline__ int colour_of(int i, const Volume &blocks)
{
    return (i / (blocks.height * blocks.width) + i / blocks.width % blocks.height
            + i % blocks.width) & 1;
}

// Least key of marked blocks, and the first that has it; in words[0] and words[1].
__device__ __forceinline__ void find_nearest(const Marks &marks, int count, unsigned *words)
{
    if (threadIdx.x < 2) words[threadIdx.x] = 0xffffffff;
    __syncthreads();
    unsigned least = 0xffffffff;
    int first = 0;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        if (marks.sides[i] && marks.keys[i] < least) {
            least = marks.keys[i];
            first = i;
        }
    }
    lower(words, least);
    __syncthreads();
    if (least == words[0]) lower(words + 1, first);
    __syncthreads();
}

// Move marks into a list, in any order: those of the nearest block and of the others of its
// colour up to `band` farther. One group of threads for each class; `size` starts at 0.
extern "C" __global__ void list_marked(
    unsigned *sides, unsigned *keys, float band, int2 *listed, int *size,
    int depth, int height, int width)
{
    extern __shared__ float cells[];
    unsigned *words = (unsigned *)cells;
    const Volume blocks = blocks_of({depth, height, width});
    const int count = (int)size_of(blocks);
    const long long before = (long long)blockIdx.x * count;
    const Marks marks = {sides + before, keys + before};
    find_nearest(marks, count, words);
    if (words[0] == 0xffffffff) return;
    const float end = __fadd_rn(__int_as_float(words[0]), band);
    const int colour = colour_of(words[1], blocks);
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        if (!marks.sides[i] || colour_of(i, blocks) != colour) continue;
        if (__int_as_float(marks.keys[i]) > end) continue;
        listed[atomicAdd(size, 1)] = {(int)before + i, (int)marks.sides[i]};
        marks.sides[i] = 0;
        marks.keys[i] = NO_NEWS;
    }
}
