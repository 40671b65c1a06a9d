package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"sync"

	"github.com/webgear-pi/webgear/device/lab/stamp"
)

// album is the pictures of one size. They are made before the camera is
// plugged in: in an emulated machine encoding one takes longer than a frame.
type album struct {
	pages []page
}

// page is one picture in every form the camera delivers.
type page struct {
	jpeg, bare stamp.Picture // with and without Huffman tables
	yuyv       []byte
}

const (
	// pageCount pictures are shown in turn. Chosen: motion is visible, and the
	// emulated machine starts soon.
	pageCount = 4
	// quality gives 80 to 90 KB at 1280x720, as webcams do.
	quality = 80
)

// draw makes the pictures of all sizes, one goroutine per size.
func draw() ([]album, error) {
	albums := make([]album, len(sizes))
	errs := make([]error, len(sizes))
	var wg sync.WaitGroup
	for i, s := range sizes {
		wg.Go(func() {
			for k := range pageCount {
				p, err := makePage(s, k)
				if err != nil {
					errs[i] = fmt.Errorf("picture %dx%d: %w", s.w, s.h, err)
					return
				}
				albums[i].pages = append(albums[i].pages, p)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return albums, nil
}

func makePage(s size, k int) (page, error) {
	img := picture(s, k)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		return page{}, err
	}
	bare, err := withoutTables(b.Bytes())
	if err != nil {
		return page{}, err
	}
	p := page{yuyv: yuyv(img)}
	if p.jpeg, err = stamp.Prepare(b.Bytes()); err != nil {
		return page{}, err
	}
	p.bare, err = stamp.Prepare(bare)
	return p, err
}

// picture draws colour bars, a grey block that moves with k and, for a lifelike
// size of the JPEG, a strip of noise along the bottom.
func picture(s size, k int) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, s.w, s.h), image.YCbCrSubsampleRatio420)
	bars := []color.RGBA{
		{255, 255, 255, 255},
		{255, 255, 0, 255},
		{0, 255, 255, 255},
		{0, 255, 0, 255},
		{255, 0, 255, 255},
		{255, 0, 0, 255},
		{0, 0, 255, 255},
		{0, 0, 0, 255},
	}
	for i, c := range bars {
		fill(img, image.Rect(i*s.w/8, 0, (i+1)*s.w/8, s.h), c)
	}
	fill(img, image.Rect(k*s.w/8, s.h/3, (k+1)*s.w/8, s.h/2), color.RGBA{128, 128, 128, 255})
	strip := image.Rect(0, s.h*7/8, s.w, s.h)
	fill(img, strip, color.RGBA{128, 128, 128, 255})
	noise := rand.New(rand.NewPCG(uint64(s.w), uint64(k)))
	for y := strip.Min.Y; y < strip.Max.Y; y++ {
		row := img.Y[y*img.YStride:][:s.w]
		for x := range row {
			row[x] = byte(noise.Uint32())
		}
	}
	return img
}

func fill(img *image.YCbCr, r image.Rectangle, c color.RGBA) {
	luma, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		set(img.Y[img.YOffset(r.Min.X, y):][:r.Dx()], luma)
		set(img.Cb[img.COffset(r.Min.X, y):][:r.Dx()/2], cb)
		set(img.Cr[img.COffset(r.Min.X, y):][:r.Dx()/2], cr)
	}
}

func set(row []byte, v byte) {
	for i := range row {
		row[i] = v
	}
}

// yuyv converts to packed 4:2:2. A raw picture has limited range (16 to 235),
// which is what the kernel assumes of YUYV, while a JPEG has full range.
func yuyv(img *image.YCbCr) []byte {
	var luma, chroma [256]byte
	for i := range 256 {
		luma[i] = byte(16 + (i*219+127)/255)
		chroma[i] = byte(128 + (i-128)*224/255)
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := make([]byte, 0, w*h*2)
	for y := range h {
		row := img.Y[y*img.YStride:][:w]
		cb, cr := img.Cb[y/2*img.CStride:], img.Cr[y/2*img.CStride:]
		for x := 0; x < w; x += 2 {
			out = append(out, luma[row[x]], chroma[cb[x/2]], luma[row[x+1]], chroma[cr[x/2]])
		}
	}
	return out
}
