<?xml version="1.0" encoding="UTF-8"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:s="http://www.sitemaps.org/schemas/sitemap/0.9"
    xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"
    xmlns:video="http://www.google.com/schemas/sitemap-video/1.1"
    xmlns:xhtml="http://www.w3.org/1999/xhtml" exclude-result-prefixes="s image video xhtml">
  <xsl:output method="html" encoding="UTF-8" indent="yes"/>
  <xsl:template match="/">
    <html lang="en">
      <head>
        <title>Sitemap</title>
        <meta name="robots" content="noindex"/>
        <style>
          body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
          table { border-collapse: collapse; width: 100% }
          th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
          td:first-child { word-break: break-all }
        </style>
      </head>
      <body>
        <h1>Sitemap</h1>
        <p>This file is for search engines. It lists <xsl:value-of select="count(//s:url | //s:sitemap)"/> addresses.</p>
        <table>
          <tr>
            <th>Address</th><th>Changed</th>
            <xsl:if test="s:urlset"><th>Frequency</th><th>Priority</th><th>Images</th><th>Videos</th><th>Languages</th></xsl:if>
          </tr>
          <xsl:for-each select="//s:url | //s:sitemap">
            <tr>
              <td><a href="{s:loc}"><xsl:value-of select="s:loc"/></a></td>
              <td><xsl:value-of select="s:lastmod"/></td>
              <xsl:if test="/s:urlset">
                <td><xsl:value-of select="s:changefreq"/></td>
                <td><xsl:value-of select="s:priority"/></td>
                <td><xsl:value-of select="count(image:image)"/></td>
                <td><xsl:value-of select="count(video:video)"/></td>
                <td><xsl:value-of select="count(xhtml:link)"/></td>
              </xsl:if>
            </tr>
          </xsl:for-each>
        </table>
      </body>
    </html>
  </xsl:template>
</xsl:stylesheet>
