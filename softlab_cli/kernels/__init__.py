"""Plain loops that numba compiles; the only modules that know of numba.

Every kernel releases the interpreter lock and writes into memory that the caller
gives. Soft labels are float16 bit patterns in uint16 arrays here, because numba
has no float16 on processors.
"""
