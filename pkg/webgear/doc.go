// Package webgear is a Motion-JPEG server to build into a program of one's own:
// a source of pictures, a web page that shows them, and a stream for any number
// of viewers, who share one capture and one encoding.
//
//	g, err := webgear.New(webgear.Options{Open: webgear.ImageFunc(draw)})
//	if err != nil { … }
//	g.App().Get("/hello", hello)   // routes, mounts and middleware of your own
//	err = g.Run(ctx)               // http://localhost:8000/ until ctx ends
//
// A [Gear] is made once and runs once. Its methods may be called from any
// goroutine, except that routes and middleware are registered before Run. The
// command webgear is built on this package.
//
// # Coming from WebGear
//
// What a program in Python does, and where it is here:
//
//	WebGear(source=…, options)         New(Options{Open: …, Settings: …})
//	options = {"frame_size_reduction"} Settings.FrameSizeReduction, or ParseSettings for a mapping
//	api, stabilize, colorspace, …      source.Options of package device/source
//	config["generator"]                Options.Open: JPEGFunc, ImageFunc, PixelFunc, JPEGChannel, ImageChannel
//	routes.append(Route(…))            App().Get(…), before Run
//	routes.append(Mount(…, Static…))   App().Static(…)
//	middleware = […]                   App().Use(…)
//	a second stream on the page        Mount("/video2", another Gear)
//	templates of one's own             edit the data files, or Options.Assets
//	uvicorn.run(web(), host, port)     Run with Options.Address, or Serve with a listener
//	shutdown()                         end the context of Run
//	recording                          Frames
//
// Mistakes that WebGear finds when it is called are found by New or Run, which
// return an error; the routes of the server cannot be removed by mistake.
//
// # Custom sources
//
// A custom source is a function or a channel that gives pictures. It is asked
// once per picture, however many viewers there are, and never by two goroutines
// at once. Pictures may change their size.
//
// A function is asked at the wanted rate, 30 per second unless Options.Want says
// otherwise, and may take longer; it should return when its context ends, and is
// left alone when it does not. A channel is read as pictures come. A source that
// gives less than three pictures per second should say so in Options.Want.Rate:
// silence for some of the intervals that this promises is shown as a failure.
//
// io.EOF, or closing the channel, is the end of the pictures. Any other error,
// and a panic, is shown to the viewers as a failure, and the source is asked
// again. A picture that is none (nil, something else than JPEG, more than
// device.MaxPixels) is left out; when none follows that is shown, too.
//
// Images and pixels are encoded with the settings, once for all viewers. JPEG is
// passed on as it is unless the settings ask for another size, quality or grey.
//
// Any other [device.Camera] will do as well.
package webgear
