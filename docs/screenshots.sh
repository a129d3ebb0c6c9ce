#!/usr/bin/env bash
# Screenshots of an atlas with headless Chromium: `docs/screenshots.sh isogloss-tour/atlas.html [docs]`.
# Writes atlas-map.png, atlas-table.png, atlas-panels.png, atlas-arabic.png, atlas-thai.png and
# atlas-phone.png. Fonts for the scripts: Debian fonts-noto-core and fonts-noto-cjk.
set -euo pipefail

atlas=$(realpath "${1:?usage: docs/screenshots.sh ATLAS.html [FOLDER]}")
folder=$(realpath "${2:-$(dirname "$0")}")
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# shot NAME WIDTH HEIGHT STYLE: the page with one more style, so that a part stands alone on top.
shot() {
    sed "s|</head>|<style>@media screen{$4}</style></head>|" "$atlas" > "$scratch/page.html"
    # No sandbox: containers lack what it needs, and the page is our own and loads nothing.
    timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars \
        --disable-background-networking --disable-component-update --disable-sync --no-first-run \
        --user-data-dir="$scratch/profile" --force-device-scale-factor="${SCALE:-1}" \
        --window-size="$2,$3" --screenshot="$folder/$1.png" "file://$scratch/page.html" 2> "$scratch/log" \
        || { cat "$scratch/log" >&2; exit 1; }
    echo "$folder/$1.png"
}
only() { echo "main>:not($1){display:none!important}main>$1{border:0;margin:0}"; }
language() {
    echo "$(only '#languages')#languages>h2,#languages>article:not(#lang-$1){display:none}#languages>article{border:0}"
}

shot atlas-map 1400 1180 ""
shot atlas-table 1400 1000 "$(only '#table')"
shot atlas-panels 1400 900 "$(only '#panels')"
shot atlas-arabic 1400 720 "$(language arb)"
shot atlas-thai 1400 720 "$(language tha)"
shot atlas-phone 500 1400 ""
