"""Compiled moves of states on networks, each of which leaves their distribution alone.

================= ==============================================================================
`heat_bath`       one node after another, from its conditional distribution; two colours of a
                  square lattice at a time
`clusters`        Swendsen and Wang's, and Wolff's, for couplings that make neighbours equal
`block_gibbs`     two layers in turn
`chains`          many sweeps of many rows, with NumPy's random numbers
================= ==============================================================================

A sweep takes its uniform numbers as arguments, so that a test can list what it does.
"""
