//! Files behind one trait: the real disk and the simulated disk of the tests.
