package demo

import (
	"fmt"
	"image/color"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/sallyport/sallyport/components/capacity"
)

// curvePoints is how finely the predicted curve is drawn.
const curvePoints = 200

var (
	blue  = color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff}
	red   = color.RGBA{R: 0xd0, G: 0x30, B: 0x20, A: 0xff}
	green = color.RGBA{R: 0x20, G: 0x90, B: 0x40, A: 0xff}
)

// plotBlocking draws failure rate against offered load, the prediction as a line and the measurements as points, as SVG and PNG.
func plotBlocking(r Report, folder string) error {
	ports, most := r.Exhaustion[0].Ports, 0.0
	measured := make(plotter.XYs, len(r.Exhaustion))
	for i, p := range r.Exhaustion {
		measured[i] = plotter.XY{X: p.OfferedLoad, Y: 100 * p.Measured()}
		most = max(most, p.OfferedLoad)
	}
	predicted := make(plotter.XYs, curvePoints)
	for i := range predicted {
		load := 1.1 * most * float64(i) / (curvePoints - 1)
		predicted[i] = plotter.XY{X: load, Y: 100 * capacity.ErlangB(ports, load)}
	}
	line, err := plotter.NewLine(predicted)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	line.Color, line.Width = blue, vg.Points(1.5)

	p := plot.New()
	p.Title.Text = "New connections that find no free port"
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = "offered load: new connections/s x (hold + TIME_WAIT), in ports"
	p.Y.Label.Text = "failed, %"
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 100
	p.Add(plotter.NewGrid(), line)
	p.Legend.Add(fmt.Sprintf("%d ports per VM, Erlang B", ports), line)
	if err := addDots(p, fmt.Sprintf("%d ports per VM, measured", ports), measured, red); err != nil {
		return err
	}
	if c := r.Computed; c != nil {
		dot := plotter.XYs{{X: c.OfferedLoad, Y: 100 * c.Measured()}}
		if err := addDots(p, fmt.Sprintf("%d ports per VM (computed), measured", c.Ports), dot, green); err != nil {
			return err
		}
	}
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(3)
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(8), -vg.Points(6)
	for _, name := range []string{"blocking.svg", "blocking.png"} {
		if err := p.Save(18*vg.Centimeter, 11*vg.Centimeter, filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
	}
	return nil
}

// addDots draws measurements with an entry in the legend.
func addDots(p *plot.Plot, name string, points plotter.XYs, c color.Color) error {
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	dots.Color, dots.Radius, dots.Shape = c, vg.Points(3.5), draw.CircleGlyph{}
	p.Add(dots)
	p.Legend.Add(name, dots)
	return nil
}
