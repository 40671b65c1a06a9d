// Package ffmpeg is cameras that other programs read for us: video files, image
// sequences, network streams and FFmpeg's own devices through ffmpeg, pipelines
// through gst-launch-1.0, pages of video sites through yt-dlp.
//
// Pictures that are JPEG already are passed on as they are and delivered as
// MJPG; everything else is decoded by the program and delivered as raw YU12.
// The package decodes and encodes nothing itself, starts no shell, and starts a
// program again only when Start is called again.
//
// It follows the concurrency rules of device.Camera: one goroutine captures,
// Close may come from any. A started camera has one goroutine that reads
// pictures, and those of its child process; Stop and Close wait for all.
package ffmpeg
