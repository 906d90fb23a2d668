// An HTTP/1.1 server with keep-alive that says hello.
// Run: node build/examples/http-server.js --port 8080, then: curl -i http://127.0.0.1:8080/

import { serveHttp, textResponse } from './lib/http.ts'
import { serve, serverArguments } from './lib/server.ts'

const { port } = serverArguments()

await serve(port, async (stream) => {
  await serveHttp(stream, async ({ method, target, keepAlive }) => {
    const withBody = method !== 'HEAD'
    if (method !== 'GET' && method !== 'HEAD')
      await stream.write(textResponse(405, 'only GET and HEAD\n', keepAlive))
    else if (target !== '/' && !target.startsWith('/?'))
      await stream.write(textResponse(404, 'nothing here\n', keepAlive, withBody))
    else await stream.write(textResponse(200, 'Hello from the ring\n', keepAlive, withBody))
  })
})
