// The kernels, to be called from Python with the numbers of groups and of threads.

#include "emulated_cuda.h"

#include GEODESIC_CUDA

extern "C" void launch_relax_blocks(
    int groups, int threads, const int2 *listed, const float *image, float *distances,
    unsigned *marks, const float *steps, int depth, int height, int width)
{
    launch(relax_blocks, groups, threads, listed, image, distances, marks, steps, depth, height,
           width);
}

extern "C" void launch_clear(int groups, int threads, float *distances, long long size)
{
    launch(clear, groups, threads, distances, size);
}

extern "C" void launch_place_seeds(
    int groups, int threads, const long long *seeds, long long size, float *distance,
    unsigned *marks, int depth, int height, int width)
{
    launch(place_seeds, groups, threads, seeds, size, distance, marks, depth, height, width);
}

extern "C" void launch_list_marked(
    int groups, int threads, unsigned *marks, int size, int2 *listed, int *count)
{
    launch(list_marked, groups, threads, marks, size, listed, count);
}
