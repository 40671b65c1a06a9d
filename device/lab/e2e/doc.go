// Package e2e holds the end-to-end tests of the daemon: a real webgear process
// on cameras with real kernel drivers, watched over HTTP. They run inside the
// lab machine only, where package lab starts them; their build tag, labguest,
// keeps them out of every other test run.
//
// WEBGEAR_BIN and CAMSIM_BIN name the programs, LAB_FULL=1 asks for the long
// versions. In an emulated machine (LAB_ACCEL=tcg) time limits are stretched,
// see limit.
package e2e
