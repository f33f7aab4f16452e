"""Engines of log partition functions: each gives A(eta), whose gradient is the mean statistics.

================ =============================================================================
`table`          any statistics on a finite support: a sum over all states
`fold`           statistics of binary entries that are sums over entries and pairs: exact to
                 some 24 entries
`matching`       the other way: eta of given mean statistics, on a table
================ =============================================================================
"""
