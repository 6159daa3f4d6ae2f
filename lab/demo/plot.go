package demo

import (
	"fmt"
	"image/color"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/sallyport/sallyport/components/capacity"
)

// curvePoints is how finely the predicted curve is drawn.
const curvePoints = 200

// plotBlocking draws failure rate against offered load, the prediction as a line and the measurements as points, as SVG and PNG.
func plotBlocking(points []Point, folder string) error {
	ports, most := points[0].Ports, 0.0
	measured := make(plotter.XYs, len(points))
	for i, p := range points {
		measured[i] = plotter.XY{X: p.OfferedLoad, Y: 100 * p.Measured()}
		most = max(most, p.OfferedLoad)
	}
	predicted := make(plotter.XYs, curvePoints)
	for i := range predicted {
		load := 1.2 * most * float64(i) / (curvePoints - 1)
		predicted[i] = plotter.XY{X: load, Y: 100 * capacity.ErlangB(ports, load)}
	}

	p := plot.New()
	p.Title.Text = fmt.Sprintf("Connections that find no port, %d ports per VM", ports)
	p.X.Label.Text = "offered load: new connections/s x (hold + TIME_WAIT), in ports"
	p.Y.Label.Text = "failed, %"
	p.Add(plotter.NewGrid())
	line, err := plotter.NewLine(predicted)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	line.Color, line.Width = color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff}, vg.Points(1.5)
	dots, err := plotter.NewScatter(measured)
	if err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	dots.Color, dots.Radius = color.RGBA{R: 0xd0, G: 0x30, B: 0x20, A: 0xff}, vg.Points(4)
	p.Add(line, dots)
	p.Legend.Add("Erlang B", line)
	p.Legend.Add("measured", dots)
	p.Legend.Top, p.Legend.Left = true, true
	for _, name := range []string{"blocking.svg", "blocking.png"} {
		if err := p.Save(18*vg.Centimeter, 11*vg.Centimeter, filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
	}
	return nil
}
