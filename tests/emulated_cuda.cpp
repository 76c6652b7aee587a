// The kernels, to be called from Python with the numbers of groups and of threads.

#include "emulated_cuda.h"

#include GEODESIC_CUDA

extern "C" void launch_relax_blocks(
    int groups, int threads, const int2 *listed, const float *image, float *distances,
    unsigned *sides, unsigned *keys, const float *steps, int depth, int height, int width)
{
    launch(relax_blocks, groups, threads, listed, image, distances, sides, keys, steps, depth,
           height, width);
}

extern "C" void launch_clear(int groups, int threads, float *distances, long long size)
{
    launch(clear, groups, threads, distances, size);
}

extern "C" void launch_place_seeds(
    int groups, int threads, const long long *seeds, long long size, float *distance,
    unsigned *sides, unsigned *keys, int depth, int height, int width)
{
    launch(place_seeds, groups, threads, seeds, size, distance, sides, keys, depth, height, width);
}

extern "C" void launch_list_marked(
    int groups, int threads, unsigned *sides, unsigned *keys, float band, int2 *listed, int *size,
    int depth, int height, int width)
{
    launch(list_marked, groups, threads, sides, keys, band, listed, size, depth, height, width);
}
