package lab

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestArgumentsCarryEveryFieldOfTheJob(t *testing.T) {
	got := arguments(Job{
		Command: []string{"cat", "-n", "a file"},
		Modules: []string{"vivid n_devs=2", "uvcvideo"},
		Env:     []string{"A=b c"},
		Forward: []string{"tcp:127.0.0.1:1-:2"},
		Udev:    true,
		Timeout: 90 * time.Second,
	}, "/x/code")
	want := []string{
		"-x", "/x/code", "-m", "vivid n_devs=2", "-m", "uvcvideo", "-f", "tcp:127.0.0.1:1-:2", "-e", "A=b c",
		"-u", "-t", "90", "--", "cat", "-n", "a file",
	}
	if !slices.Equal(got, want) {
		t.Errorf("arguments = %q, want %q", got, want)
	}
}

func TestFindRootFindsTheCheckoutFromBelow(t *testing.T) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{".", "camsim", "../.."} {
		if got, err := FindRoot(dir); got != top || err != nil {
			t.Errorf("FindRoot(%q) = %q, %v; want %q", dir, got, err, top)
		}
	}
	if got, err := FindRoot("/"); err == nil {
		t.Errorf("FindRoot(/) = %q, want an error", got)
	}
}

func TestRunRefusesAJobWithoutCommand(t *testing.T) {
	if _, err := Run(t.Context(), Job{}); err == nil || errors.Is(err, ErrDied) {
		t.Errorf("Run = %v, want a plain error", err)
	}
}
