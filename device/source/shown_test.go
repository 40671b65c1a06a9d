package source

import "testing"

func TestShownHidesPasswordsAndNothingElse(t *testing.T) {
	for spec, want := range map[string]string{
		"auto": "auto", "/dev/video0": "/dev/video0", "my key=1.mp4": "my key=1.mp4", "test:1x1@2": "test:1x1@2",
		"http://camera:81/stream?rate=6":                                   "http://camera:81/stream?rate=6",
		"http://me@camera/":                                                "http://me@camera/",
		"http://me:secret@camera/x":                                        "http://me:xxxxx@camera/x",
		"rtsp://me:se:cr@et@camera/x":                                      "rtsp://me:xxxxx@camera/x",
		"http://camera/v.cgi?user=me&pwd=secret&rate=6":                    "http://camera/v.cgi?user=me&pwd=xxxxx&rate=6",
		"http://camera/v?loginpas=secret":                                  "http://camera/v?loginpas=xxxxx",
		"srt://host:9?passphrase=secret&mode=caller":                       "srt://host:9?passphrase=xxxxx&mode=caller",
		`rtspsrc location=rtsp://c/x user-pw="se cret" ! a ! appsink`:      `rtspsrc location=rtsp://c/x user-pw=xxxxx ! a ! appsink`,
		"souphttpsrc location=http://me:secret@c/x user-pw=s! b ! appsink": "souphttpsrc location=http://me:xxxxx@c/x user-pw=xxxxx! b ! appsink",
	} {
		if got := Shown(spec); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", spec, got, want)
		}
	}
}
