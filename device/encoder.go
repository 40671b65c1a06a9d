package device

import "context"

// Encoder makes JPEG of raw pictures of one format. It belongs to one goroutine
// at a time; only SetQuality may be called from any.
type Encoder interface {
	// Name says what encodes: "libjpeg-turbo", "bcm2835-codec-encode_image on
	// /dev/video31".
	Name() string

	// Encode returns the picture as a whole JPEG file in new memory, which the
	// encoder never touches again. It never waits for ever: hardware that does
	// not answer is an error matching ErrStalled. After an error the encoder may
	// be tried with the next picture.
	Encode(b *Buffer) ([]byte, error)

	// Size is that of the results, in pixels.
	Size() (width, height int)

	// SetQuality sets the quality of later pictures, 1 to 100.
	SetQuality(quality int) error

	// Close frees what the encoder holds. Later calls of Encode fail, of Close
	// do nothing.
	Close()
}

// EncoderMaker is one way to encode, which may turn out not to work.
type EncoderMaker struct {
	// Name is for people and the log, as Encoder.Name.
	Name string
	// Hardware is set when the processor does not do the work.
	Hardware bool
	// Accepts says whether pictures of this format can be encoded at all.
	Accepts func(f Format) bool
	// New prepares an encoder for pictures of format f at a quality of 1 to 100.
	New func(ctx context.Context, f Format, quality int) (Encoder, error)
}
