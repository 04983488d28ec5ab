"""The decomposition itself: svd and its variants, and the choice of a driver."""
