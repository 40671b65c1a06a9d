package source

import (
	"context"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/webgear-pi/webgear/device"
)

// advised is a cause with a remedy that suits the source better than the usual
// one for its kind. Its text is that of the cause.
type advised struct {
	error
	remedy string
}

// Remedy says what a person can do about it.
func (a *advised) Remedy() string { return a.remedy }

// Unwrap gives the cause.
func (a *advised) Unwrap() error { return a.error }

// Remedy gives what can be done about an error, if the source knows better than
// its kind tells: a file that is not there needs no cable.
func Remedy(err error) string {
	if a, ok := errors.AsType[interface {
		error
		Remedy() string
	}](err); ok {
		return a.Remedy()
	}
	return ""
}

// advise adds a remedy to an error of one of these kinds.
func advise(err error, remedy string, kinds ...error) error {
	if !slices.ContainsFunc(kinds, func(k error) bool { return errors.Is(err, k) }) {
		return err
	}
	oe, ok := errors.AsType[*device.OpError](err)
	if !ok {
		return &advised{err, remedy}
	}
	better := *oe
	if better.Err == nil {
		better.Err = better.Kind
	}
	better.Err = &advised{better.Err, remedy}
	return &better
}

const (
	fileRemedy    = "Check the path of the file: it is not there, or not yet."
	fileRightText = "Let the user that runs webgear read the file and enter its folder."
	// rangeRemedy is for files whose index comes last: they can only be read from
	// servers that give parts of a file.
	rangeRemedy = "Check its power and network. A film in a file needs a server that allows ranges, or its index in front: " +
		"ffmpeg -i old.mp4 -c copy -movflags +faststart new.mp4"
)

// adviseFile makes failures of files say what to do about files.
func adviseFile(s *Source) *Source {
	open := s.Open
	s.Open = func(ctx context.Context) (device.Camera, error) {
		cam, err := open(ctx)
		if err != nil {
			err = advise(err, fileRemedy, device.ErrNotFound)
			return nil, advise(err, fileRightText, device.ErrPermission)
		}
		return cam, nil
	}
	return s
}

// isFilm tells addresses of films in a file, whose index may come last.
func isFilm(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	return slices.Contains([]string{".mp4", ".m4v", ".mov", ".3gp"}, strings.ToLower(path.Ext(u.Path)))
}

// filmCamera advises when a film cannot be read.
type filmCamera struct{ device.Camera }

func (c filmCamera) better(err error) error {
	return advise(err, rangeRemedy, device.ErrDisconnected, device.ErrUnsupported)
}

// Modes is Camera.Modes.
func (c filmCamera) Modes(ctx context.Context) ([]device.Mode, error) {
	modes, err := c.Camera.Modes(ctx)
	return modes, c.better(err)
}

// Start is Camera.Start.
func (c filmCamera) Start(ctx context.Context, want device.Format) (device.Format, error) {
	granted, err := c.Camera.Start(ctx, want)
	return granted, c.better(err)
}

// Next is Camera.Next.
func (c filmCamera) Next(ctx context.Context, use func(*device.Buffer) error) error {
	return c.better(c.Camera.Next(ctx, use))
}
