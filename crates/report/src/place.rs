//! Where signs and names go on the map when their homes are too close: layout, no data.

/// A sign, in units of the drawing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dot {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) radius: f64,
}

/// A name beside its sign.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Label {
    /// Index of the sign.
    pub(crate) dot: usize,
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// SVG's `text-anchor`.
    pub(crate) anchor: &'static str,
}

/// Height of a name, in units of the drawing; the style sheet sets the same size.
const FONT_SIZE: f64 = 12.0;
/// Rounds of pushing apart; most maps rest after ten.
const MAX_ROUNDS: usize = 60;

/// Moves overlapping signs apart, as little as needed and the same way every time.
pub(crate) fn spread(dots: &mut [Dot]) {
    for _ in 0..MAX_ROUNDS {
        let mut moved = false;
        for i in 0..dots.len() {
            for j in i + 1..dots.len() {
                let (dx, dy) = (dots[j].x - dots[i].x, dots[j].y - dots[i].y);
                let distance = dx.hypot(dy);
                let wanted = (dots[i].radius + dots[j].radius) * 1.05;
                if distance >= wanted {
                    continue;
                }
                moved = true;
                // Two signs on one spot part along a direction of their own.
                let angle = if distance > 1e-6 {
                    dy.atan2(dx)
                } else {
                    (i * 7 + j) as f64
                };
                let push = (wanted - distance) / 2.0 + 1e-3;
                dots[i].x -= push * angle.cos();
                dots[i].y -= push * angle.sin();
                dots[j].x += push * angle.cos();
                dots[j].y += push * angle.sin();
            }
        }
        if !moved {
            return;
        }
    }
}

/// Names, in the order given, each at the first of eight places where it covers no sign and no
/// other name; a name without such a place is left out (its sign has a tooltip).
pub(crate) fn labels(dots: &[Dot], names: &[(usize, &str)], page: (f64, f64)) -> Vec<Label> {
    let mut taken: Vec<Rectangle> = dots
        .iter()
        .map(|dot| Rectangle {
            left: dot.x - dot.radius,
            right: dot.x + dot.radius,
            top: dot.y - dot.radius,
            bottom: dot.y + dot.radius,
        })
        .collect();
    let mut labels = Vec::new();
    for &(index, name) in names {
        let dot = dots[index];
        let width = width(name);
        let gap = dot.radius + 3.0;
        let half = FONT_SIZE * 0.36;
        let places = [
            (gap, half, "start"),
            (-gap, half, "end"),
            (0.0, -gap, "middle"),
            (0.0, gap + FONT_SIZE * 0.7, "middle"),
            (gap * 0.7, -gap * 0.6, "start"),
            (gap * 0.7, gap * 0.6 + FONT_SIZE * 0.7, "start"),
            (-gap * 0.7, -gap * 0.6, "end"),
            (-gap * 0.7, gap * 0.6 + FONT_SIZE * 0.7, "end"),
        ];
        for (dx, dy, anchor) in places {
            let (x, y) = (dot.x + dx, dot.y + dy);
            let left = match anchor {
                "start" => x,
                "end" => x - width,
                _ => x - width / 2.0,
            };
            let rectangle = Rectangle {
                left,
                right: left + width,
                top: y - FONT_SIZE * 0.75,
                bottom: y + FONT_SIZE * 0.2,
            };
            let inside = rectangle.left >= 0.0
                && rectangle.right <= page.0
                && rectangle.top >= 0.0
                && rectangle.bottom <= page.1;
            if inside && !taken.iter().any(|other| rectangle.meets(other)) {
                taken.push(rectangle);
                labels.push(Label {
                    dot: index,
                    x,
                    y,
                    anchor,
                });
                break;
            }
        }
    }
    labels
}

/// Estimated width of a name: no font is measured here.
fn width(name: &str) -> f64 {
    name.chars()
        .map(|character| if character.is_ascii() { 0.58 } else { 0.9 })
        .sum::<f64>()
        * FONT_SIZE
}

struct Rectangle {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Rectangle {
    fn meets(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_on_one_spot_come_apart() {
        let mut dots = vec![
            Dot {
                x: 100.0,
                y: 100.0,
                radius: 5.0
            };
            7
        ];
        spread(&mut dots);
        for i in 0..dots.len() {
            for j in i + 1..dots.len() {
                let distance = (dots[i].x - dots[j].x).hypot(dots[i].y - dots[j].y);
                assert!(distance > 9.5, "{i} and {j} are {distance} apart");
            }
            assert!(
                (dots[i].x - 100.0).hypot(dots[i].y - 100.0) < 40.0,
                "stays near its home"
            );
        }
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let dots = [
            Dot {
                x: 50.0,
                y: 50.0,
                radius: 5.0,
            },
            Dot {
                x: 62.0,
                y: 50.0,
                radius: 5.0,
            },
        ];
        let labels = labels(&dots, &[(0, "Basque"), (1, "Catalan")], (200.0, 100.0));
        assert_eq!(labels.len(), 2);
        assert_eq!((labels[0].anchor, labels[1].anchor), ("end", "start"));
        // No room on a page that ends below the sign: no name.
        assert!(super::labels(&dots[..1], &[(0, "Basque")], (60.0, 40.0)).is_empty());
    }
}
