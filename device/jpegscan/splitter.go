package jpegscan

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// Splitter finds the pictures in a stream of JPEG files with anything between
// them, and holds one of them in memory. What has no end, or is larger than
// allowed, is passed over.
type Splitter struct {
	in    *Window
	limit int
}

// NewSplitter returns a Splitter of what in has and will have. limit is the
// largest picture, in bytes.
func NewSplitter(in *Window, limit int) *Splitter { return &Splitter{in: in, limit: limit} }

// Next gives the next whole picture with its size in pixels. data is valid until
// the next call. At the end the error is io.EOF; errors of the reader are
// returned as they are.
func (s *Splitter) Next(ctx context.Context) (data []byte, width, height int, err error) {
	for {
		if err := s.seek(ctx); err != nil {
			return nil, 0, 0, err
		}
		var w Walker
		for {
			data := s.in.Bytes()
			r := w.Walk(data[:min(len(data), s.limit)])
			if r == Whole {
				s.in.Skip(w.End())
				width, height := w.Size()
				return data[:w.End()], width, height, nil
			}
			if r == Broken {
				s.in.Skip(w.End())
				break
			}
			if len(data) >= s.limit {
				s.in.Skip(2) // its SOI; another one may follow anywhere
				break
			}
			if err := s.in.Fill(ctx); errors.Is(err, io.EOF) {
				s.in.Skip(2) // cut off by the end; there may be a picture inside
				break
			} else if err != nil {
				return nil, 0, 0, err
			}
		}
	}
}

// seek skips to the next SOI marker that another marker follows.
func (s *Splitter) seek(ctx context.Context) error {
	soi := []byte{0xFF, markSOI, 0xFF}
	for {
		b := s.in.Bytes()
		if i := bytes.Index(b, soi); i >= 0 {
			s.in.Skip(i)
			return nil
		}
		s.in.Skip(max(0, len(b)-len(soi)+1)) // the rest may be its beginning
		if err := s.in.Fill(ctx); err != nil {
			return err
		}
	}
}
