//! Gradients of attention against differences.

use super::*;

const D: usize = 3;

/// Two sequences of 5 and 60 rows (more than a block of queries), values from a formula.
fn rows(width: usize, seed: u32) -> Rows {
    let mut rows = Rows::new(width);
    rows.set_rows(65);
    for i in 0..65 {
        for (j, x) in rows.row_mut(i).iter_mut().enumerate() {
            let n = (i as u32 * 31 + j as u32 * 7 + seed).wrapping_mul(2_654_435_761);
            *x = (n >> 8) as f32 / (1 << 23) as f32 - 1.0;
        }
    }
    rows
}

fn to_f64(rows: &Rows) -> Vec<Vec<f64>> {
    (0..rows.n_rows())
        .map(|i| rows.row(i).iter().map(|x| f64::from(*x)).collect())
        .collect()
}

/// Σ d · attention(q, k, v), written plainly.
fn loss(a: &Attention<'_>, [q, k, v]: &[Vec<Vec<f64>>; 3], d: &Rows) -> f64 {
    let group = a.n_heads / a.n_kv_heads;
    let mut sum = 0.0;
    for (i, head) in (0..65).flat_map(|i| (0..a.n_heads).map(move |head| (i, head))) {
        let span = a.spans.iter().find(|span| span.contains(&i)).unwrap();
        let from = a.window.map_or(0, |w| (i + 1).saturating_sub(w));
        let keys = span.start.max(from)..i + 1;
        let part = |x: &Vec<f64>, head: usize| x[head * D..(head + 1) * D].to_vec();
        let dot = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let scores: Vec<f64> = (keys.clone())
            .map(|j| {
                let score = dot(part(&q[i], head), part(&k[j], head / group));
                let score = score * f64::from(a.scale);
                let capped = match a.softcap.map(f64::from) {
                    Some(cap) => cap * (score / cap).tanh(),
                    None => score,
                };
                let slope = a.slopes.get(head).map_or(0.0, |s| f64::from(*s));
                (capped - slope * (i - j) as f64).exp()
            })
            .collect();
        let total: f64 = scores.iter().sum();
        let d: Vec<f64> = part(&to_f64_row(d.row(i)), head);
        for (score, j) in scores.iter().zip(keys) {
            sum += score / total * dot(d.clone(), part(&v[j], head / group));
        }
    }
    sum
}

fn to_f64_row(row: &[f32]) -> Vec<f64> {
    row.iter().map(|x| f64::from(*x)).collect()
}

/// Every switch, by central differences in f64.
#[test]
fn gradients_agree_with_differences() {
    let spans = [0..5, 5..65];
    let plain = Attention {
        isa: Isa::detect(),
        spans: &spans,
        n_heads: 4,
        n_kv_heads: 2,
        d_head: D,
        scale: 0.8,
        softcap: None,
        slopes: &[],
        window: None,
    };
    let capped = Attention {
        softcap: Some(0.7),
        window: Some(4),
        ..plain
    };
    let sloped = Attention {
        slopes: &[0.5, 0.25, 0.1, 0.01],
        ..plain
    };
    for a in [plain, capped, sloped] {
        let (q, k, v, d) = (rows(12, 1), rows(6, 2), rows(6, 3), rows(12, 4));
        let mut out = Rows::new(12);
        a.forward(&q, &k, &v, &mut out);
        let mut inputs = [to_f64(&q), to_f64(&k), to_f64(&v)];
        let found: f64 = (0..65)
            .flat_map(|i| out.row(i).iter().zip(d.row(i)))
            .map(|(out, d)| f64::from(out * d))
            .sum();
        let want = loss(&a, &inputs, &d);
        assert!((found - want).abs() < 1e-4, "{found} is not {want}");
        let (mut dq, mut dk, mut dv) = (Rows::new(12), Rows::new(6), Rows::new(6));
        a.backward(&q, &k, &v, &d, &mut dq, &mut dk, &mut dv);
        for (which, found) in [dq, dk, dv].iter().enumerate() {
            for i in [0, 1, 4, 5, 6, 20, 51, 52, 53, 64] {
                for (j, found) in found.row(i).iter().enumerate() {
                    let mut moved = |by: f64| {
                        inputs[which][i][j] += by;
                        let loss = loss(&a, &inputs, &d);
                        inputs[which][i][j] -= by;
                        loss
                    };
                    let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                    let close = (f64::from(*found) - want).abs() < 2e-5 * (1.0 + want.abs());
                    assert!(close, "input {which}, row {i}, column {j}: {found}, {want}");
                }
            }
        }
    }
}
